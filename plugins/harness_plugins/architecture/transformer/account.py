"""What a transformer costs, in closed forms: parameters and FLOPs of its parts, and what it keeps of a token for the
backward pass. Raises NotImplementedError where a part has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.interfaces.architecture import Activations, LayerActivations, PartCount

if TYPE_CHECKING:
    from harness_plugins.architecture.transformer import TransformerConfig


def counts(config: TransformerConfig, vocabulary: int, sequence_length: int) -> list[PartCount]:
    """The parts in the order in which a token goes through them."""
    width = config.width
    of_head = config.head.parameters(width, vocabulary)
    found = _embeddings(config, vocabulary)
    for name, (block, layers) in config.distinct_blocks().items():
        found += _block(config, block, name, layers, sequence_length)
    if config.ends_normed:
        found.append(_plain("norm", config.norm.parameters(width)))
    return [*found, PartCount("head", of_head, config.head.flops(width, vocabulary), of_head)]


def _embeddings(config: TransformerConfig, vocabulary: int) -> list[PartCount]:
    """Tables, and the norms of what they hold."""
    width, position = config.width, config.position
    tables = {
        "tokens": vocabulary * width,
        "positions": position.parameters(width, config.attention.heads),
        "segments": config.segments * width,
    }
    norms = {
        "positions_norm": position.norm_parameters(width),
        "norm": config.norm.parameters(width) if config.embedding_norm else 0,
    }
    found = [PartCount(f"embedding.{name}", size, 0, size, embedding=True) for name, size in tables.items() if size]
    return [*found, *(_plain(f"embedding.{name}", size) for name, size in norms.items() if size)]


def _block(
    config: TransformerConfig, block: TransformerConfig, name: str, layers: int, sequence_length: int
) -> list[PartCount]:
    """Of so many layers that are made of one block."""
    width, attention, feedforward = config.width, block.attention, block.feedforward
    size = layers * attention.parameters(width)
    flops = attention.flops(width, sequence_length) + attention.position_flops(config.position, width, sequence_length)
    return [
        PartCount(f"{name}.attention", size, layers * flops, size),
        PartCount(
            f"{name}.feedforward",
            layers * feedforward.parameters(width),
            layers * feedforward.flops(width),
            layers * feedforward.active(width),
        ),
        _plain(f"{name}.norms", layers * config.norms * block.norm.parameters(width)),
    ]


def _plain(name: str, size: int) -> PartCount:
    """A part without matrix products."""
    return PartCount(name, size, 0, size)


def activations(config: TransformerConfig, sequence_length: int) -> Activations:
    """Of its layers one by one, of what stands before and behind them, and of the mask that all share."""
    layers = [_layer(block, sequence_length) for block in config.layer_blocks()]
    last = (config.ends_normed + config.embedding_norm) * config.norm.activations(config.width)
    mask = config.attention.heads * sequence_length if config.position.biased else 0
    return Activations(config.width, layers, last + config.width, config.head.activations(), mask)


def _layer(block: TransformerConfig, sequence_length: int) -> LayerActivations:
    """The way back is widest in the feedforward, where gradients stand beside all but one of its products."""
    width, attention, feedforward = block.width, block.attention, block.feedforward
    scores = attention.scores(sequence_length)
    if block.position.biased and block.position.parameters(width, attention.heads):
        scores = attention.heads * sequence_length  # from above: on CPU no fused kernel takes a bias that learns
    computed = attention.activations(width, sequence_length) + feedforward.activations(width)
    positions = attention.position_products(block.position)
    return LayerActivations(
        stream=block.norms * block.norm.activations(width)
        - (width if block.parallel == "two_norms" else 0)
        + attention.float32(width, sequence_length),
        computed=computed - (width if block.parallel == "one_norm" else 0),
        products=attention.products(width) + positions + feedforward.products(width),
        gradients=feedforward.products(width) + 2 * positions,  # of them, and of what is rearranged for them
        scores=scores,
    )
