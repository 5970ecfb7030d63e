"""The transformer: named blocks of parts, and a pattern over the layers. GPT-2, LLaMA, … are presets of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option, plugin_config, slot, to_mapping
from harness.errors import suggest
from harness.interfaces.architecture import Activations, ArchitectureConfig, PartCount
from harness.interfaces.visibility import Condition
from harness_plugins.architecture.transformer import account

HARNESS_INTERFACE = 1

#: The slots that a block may differ in.
BLOCK_PARTS = ("attention", "feedforward", "norm")


@dataclass(kw_only=True)
class TransformerConfig(ArchitectureConfig):
    """As it stands, a small LLaMA. Parts at this level hold for every layer; a block names its differences."""

    defaults: list[Any] = field(
        default_factory=lambda: [
            "_self_",
            {"attention": "multi_head"},
            {"position": "rotary"},
            {"feedforward": "gated"},
            {"norm": "rmsnorm"},
            {"head": "language_model"},
        ]
    )

    width: int = option(64, "channels of the residual stream", minimum=1)
    layers: int = option(4, "layers", minimum=1)
    attention: Any = slot("attention", "how places look at each other")
    position: Any = slot("position", "how places know where they are")
    feedforward: Any = slot("feedforward", "what each place computes by itself")
    norm: Any = slot("norm", "normalisation")
    head: Any = slot("head", "hidden states to what the method needs")
    placement: str = option(
        "pre", "pre: x + f(norm(x)), and a norm at the end (GPT-2, LLaMA); post: norm(x + f(x)) (Vaswani et al. 2017); "
        "sandwich: x + norm(f(norm(x))), and a norm at the end (Gemma 2)",
        choices=("pre", "post", "sandwich"),
    )  # fmt: skip
    parallel: str = option(
        "none", "whether attention and feedforward stand side by side, x + attention(norm(x)) + feedforward(norm(x)). "
        "one_norm: both have the same (GPT-J, PaLM); two_norms: each its own (GPT-NeoX); none: one after the other",
        choices=("none", "one_norm", "two_norms"), neutral="none",
    )  # fmt: skip
    final_norm: bool | None = option(
        None, "whether a norm stands after the last layer; null: not with placement=post", neutral=None
    )
    blocks: dict[str, Any] | None = option(None, "blocks by name, each with what differs from the parts above")
    pattern: list[str] = option([], "names of blocks, repeated over the layers; empty: every layer is the plain block")
    scale_embeddings: bool = option(
        False, "whether embeddings are multiplied by √width (Vaswani et al. 2017; Gemma)", neutral=False
    )
    embedding_norm: bool = option(
        False, "whether a norm follows the embeddings and what position adds to them (BERT, BLOOM)", neutral=False
    )
    segments: int = option(
        0, "kinds of segment, each with a learned vector (BERT's token types); where a batch names none, all is the "
        "first kind", minimum=0, neutral=0,
    )  # fmt: skip
    embedding_dropout: float = option(
        0.0, "share of the embeddings' channels dropped in training", minimum=0.0, maximum=1.0
    )
    residual_dropout: float = option(
        0.0, "share of each attention's and feedforward's channels dropped in training", minimum=0.0, maximum=1.0
    )
    init_std: float = option(0.02, "standard deviation of matrices and embeddings at the start", minimum=0.0)
    init_scale_residual: bool = option(
        True, "whether matrices that write to the residual stream start smaller by √(2 × layers) (GPT-2, section 2.3)"
    )
    base_width: int | None = option(
        None, "μP (Yang et al. 2022): the width at which learning rate, init_std and scales are as said; from there "
        "they follow the width, so that the best rate stays the best. null: they are as said at every width",
        neutral=None, minimum=1,
    )  # fmt: skip
    base_channels: int | None = option(
        None, "channels of one head at base_width: as many as here, where wider models have more heads", neutral=None,
        minimum=1,
    )  # fmt: skip

    def check(self) -> None:
        blocks = self.blocks or {}
        for name in self.pattern:
            if name not in blocks:
                raise ConfigError(
                    f"pattern names the block {name}, which blocks does not have. {suggest(name, blocks)}"
                )
        for name in blocks:
            if name not in self.pattern:
                raise ConfigError(f"blocks.{name} is used nowhere: pattern={self.pattern} does not name it.")
        if self.parallel != "none" and self.placement == "post":
            raise ConfigError(
                f"parallel={self.parallel} has no norm of a sum to put after each: say placement=pre or sandwich."
            )
        head_width = self.attention.head_width(self.width)
        self._check_base(head_width)
        self.position.check_head(head_width)
        for block in self.layer_blocks():
            if block.attention.head_width(self.width) != head_width:
                raise ConfigError(
                    f"A block has heads of {block.attention.head_width(self.width)} channels and the others of "
                    f"{head_width}: give all the same number, since one position serves all layers."
                )
            block.attention.check_position(self.position)
            if self.position.biased:
                self._check_bias(block.attention)

    def _check_base(self, channels: int) -> None:
        """Raises ConfigError where only one of base_width and base_channels is given, and where a part is not known to
        serve all widths."""
        if self.base_width is None and self.base_channels is not None:
            raise ConfigError(f"base_channels={self.base_channels} is of base_width, which is null: give both.")
        if self.base_width is not None and self.base_channels is None:
            raise ConfigError(
                f"base_width={self.base_width} needs base_channels, the channels of one head at that width: "
                f"{channels}, as here, where wider models have more heads; "
                f"{max(1, channels * self.base_width // self.width)}, where they have as many and wider ones."
            )
        self.widened_head()

    def _check_bias(self, attention: Any) -> None:
        """Raises ConfigError where the bias of the position cannot be added to the scores of one layer."""
        if not attention.takes_bias:
            raise ConfigError(
                f"position={self.position.name} adds a bias to the scores of attention, and attention={attention.name} "
                "does not add one: choose another position or attention."
            )
        if attention.heads != self.attention.heads:
            raise ConfigError(
                f"A block has {attention.heads} heads and the others {self.attention.heads}: give all the same number, "
                f"since the bias of position={self.position.name} is the same in all layers."
            )

    def layer_blocks(self) -> list[TransformerConfig]:
        """For each layer, this config with its block's differences applied, and attention as it stands at this
        width."""
        if not self.pattern:
            return [self._widened()] * self.layers
        blocks = {name: self._block(name)._widened() for name in self.pattern}
        return [blocks[self.pattern[layer % len(self.pattern)]] for layer in range(self.layers)]

    def _block(self, name: str) -> TransformerConfig:
        assert self.blocks is not None
        differences = {} if self.blocks[name] is None else self.blocks[name]
        if not isinstance(differences, Mapping):
            raise ConfigError(f"blocks.{name}={differences!r} is not a mapping of parts to what differs in them.")
        for part in differences:
            if part not in BLOCK_PARTS:
                raise ConfigError(f"blocks.{name}.{part} is no part of a block. {suggest(part, BLOCK_PARTS)}")
        parts = {
            part: plugin_config(part, value, f"blocks.{name}.{part}", current=getattr(self, part))
            for part, value in differences.items()
        }
        return replace(self, blocks=None, pattern=[], **parts)

    @property
    def times_base(self) -> float:
        """How many times as wide it is as at its base; 1 where it has none."""
        return self.width / (self.base_width or self.width)

    def _widened(self) -> TransformerConfig:
        if self.base_channels is None:
            return self
        return replace(self, attention=self.attention.at_width(self.width, self.base_channels))

    def placed(self) -> Any:
        """The position as it stands beside the vectors of tokens."""
        times = (self.base_width or self.width) ** 0.5 if self.scale_embeddings else 1.0
        return self.position.beside(self.init_std * times)

    def widened_head(self) -> Any:
        """The head as it stands at this width."""
        return self.head if self.base_width is None else self.head.at_width(self.times_base)

    def check_run(self, config: Any) -> None:
        if self.base_width is not None and not config.optimizer.knows_width:
            raise ConfigError(
                f"optimizer={config.optimizer.name} does not say how its rate follows the width, as "
                f"architecture.base_width={self.base_width} asks: choose another, or leave that out."
            )
        scale, lr = config.scale, config.optimizer.lr
        transfers, by_scale = self.base_width not in (None, self.width), scale.width and scale.base_width is None
        if transfers and by_scale and math.isclose(lr, scale.lr_times_width / scale.width):
            raise ConfigError(
                f"The learning rate would follow the width twice: by scale.width={scale.width} and by "
                f"architecture.base_width={self.base_width}. Say scale=ladder_mup, or optimizer.lr=…"
            )

    def computes(self) -> dict[str, Any]:
        per_layer = ("attention", "feedforward", "blocks", "pattern")
        layers = {f"blocks[{layer}]": block._block_computes() for layer, block in enumerate(self.layer_blocks())}
        whole = {name: value for name, value in super().computes().items() if name not in per_layer}
        return {**whole, "position": to_mapping(self.placed()), "final_norm": self.ends_normed, **layers}

    def _block_computes(self) -> dict[str, Any]:
        return {
            "attention": self.attention.computes(self.width),
            "feedforward": self.feedforward.computes(self.width),
            "norm": to_mapping(self.norm),
        }

    @property
    def norms(self) -> int:
        """How many norms a layer has."""
        return (1 if self.parallel == "one_norm" else 2) + (2 if self.placement == "sandwich" else 0)

    @property
    def ends_normed(self) -> bool:
        """Whether a norm stands after the last layer."""
        return self.placement != "post" if self.final_norm is None else self.final_norm

    def heads(self) -> frozenset[str]:
        names: frozenset[str] = self.head.names()
        return names

    @property
    def visibilities(self) -> frozenset[type[Condition]]:  # type: ignore[override]  # its blocks say it, not its class
        """Those that the attention of every block can do."""
        return frozenset.intersection(*(block.attention.visibilities for block in self.layer_blocks()))

    def cannot_do(self, kinds: frozenset[type[Condition]]) -> str:
        names = [block.attention.name for block in self.layer_blocks() if kinds - block.attention.visibilities]
        return f"attention={names[0]}" if names else super().cannot_do(kinds)

    def maximum_length(self) -> int | None:
        parts = [self.position, *(block.attention for block in self.layer_blocks())]
        return min((length for part in parts if (length := part.maximum_length()) is not None), default=None)

    def counts(self, vocabulary: int, sequence_length: int) -> list[PartCount] | None:
        try:
            return account.counts(self, vocabulary, sequence_length)
        except NotImplementedError:  # a part that has no closed forms
            return None

    def distinct_blocks(self) -> dict[str, tuple[TransformerConfig, int]]:
        """Each block by the name of its line in the account, and how many layers are made of it."""
        if not self.pattern:
            return {"blocks": (self, self.layers)}
        layers = Counter(self.pattern[layer % len(self.pattern)] for layer in range(self.layers))
        return {f"blocks.{name}": (self._block(name), times) for name, times in layers.items()}

    def activations(self, sequence_length: int) -> Activations | None:
        try:
            return account.activations(self, sequence_length)
        except NotImplementedError:
            return None

    def tensor_parallel(self) -> int | None:
        if self.position.biased:
            raise ConfigError(
                f"position={self.position.name} has a bias for each head, and a rank that holds some of the heads does "
                "not know which they are: say trainer.tensor_parallel=1, and trainer.strategy=fsdp to share the model."
            )
        try:
            parts = [part for block in self.layer_blocks() for part in (block.attention, block.feedforward)]
            return math.gcd(*(part.divisible(self.width) for part in parts))
        except NotImplementedError:
            return None

    def cache_bytes(self, bytes_per_number: int) -> int | None:
        try:
            return sum(block.attention.cache_bytes(self.width, bytes_per_number) for block in self.layer_blocks())
        except NotImplementedError:
            return None

    def build(self, vocabulary: int) -> Any:
        from harness.models.model import Model
        from harness_plugins.architecture.transformer.body import Transformer

        body = Transformer(self, vocabulary)
        heads = self.widened_head().build_all(self.width, vocabulary, body.embedding_VC)
        model = Model(body, heads, self.maximum_length())
        body.initialise(model)
        return model


@hookimpl
def register_architecture() -> dict[str, type]:
    return {"transformer": TransformerConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness_plugins.architecture.transformer.conf"]
