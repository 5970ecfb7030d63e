"""The encoder–decoder (Vaswani et al. 2017): two transformers of the same parts, of which one looks at the other. T5,
BART, … are presets of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.architecture import (
    ENCODER_DECODER,
    Activations,
    LayerActivations,
    PartCount,
)
from harness_plugins.architecture.transformer import TransformerConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class EncoderDecoderConfig(TransformerConfig):
    """Parts hold for both sides, each with positions and norms of its own; the token table is one. `layers` are the
    decoder's. Between its attention and its feedforward each looks at what the encoder made of the other text."""

    encoder_layers: int | None = option(None, "layers of the encoder; null: as many as the decoder's", minimum=1)

    def check(self) -> None:
        super().check()
        if self.pattern:
            raise ConfigError("architecture=encoder_decoder has one kind of block: leave pattern and blocks empty.")
        if self.parallel != "none":
            raise ConfigError(f"parallel={self.parallel} leaves no place to look at the other text: say parallel=none.")
        if self.segments:
            raise ConfigError("architecture=encoder_decoder has no segments: its two texts stand apart anyway.")
        if not self.attention.crosses:
            raise ConfigError(f"attention={self.attention.name} looks at its own text only: choose multi_head.")

    def topology(self) -> str:
        return ENCODER_DECODER

    def computes(self) -> dict[str, Any]:
        return {**super().computes(), "encoder_layers": self.encoder.layers}

    @property
    def encoder(self) -> TransformerConfig:
        """The encoder's side, without its token table."""
        return replace(self, layers=self.encoder_layers or self.layers)

    @property
    def cross_norms(self) -> int:
        """How many more norms a layer of the decoder has."""
        return 2 if self.placement == "sandwich" else 1

    def counts(self, vocabulary: int, sequence_length: int, source_length: int | None = None) -> list[PartCount] | None:
        """Of one token that is written among so many; what the other text costs, of so many tokens, is shared out over
        them. source_length: None: as many."""
        source = sequence_length if source_length is None else source_length
        own, read = super().counts(vocabulary, sequence_length), TransformerConfig.counts(self.encoder, 0, source)
        if own is None or read is None:
            return None
        encoder = [replace(part, part=f"encoder.{part.part}") for part in read if part.part not in ("head",)]
        encoder = [replace(p, flops=p.flops * source // sequence_length) for p in encoder if p.part != _TABLE]
        size = self.layers * self.attention.parameters(self.width)
        norms = self.layers * self.cross_norms * self.norm.parameters(self.width)
        flops = self.layers * self.attention.cross_flops(self.width, sequence_length, source)
        cross = [PartCount("blocks.cross", size, flops, size), PartCount("blocks.cross_norms", norms, 0, norms)]
        return [*own[:-1], *cross, *encoder, own[-1]]

    def activations(self, sequence_length: int, source_length: int | None = None) -> Activations | None:
        own = super().activations(sequence_length)
        if own is None:
            return None
        source = sequence_length if source_length is None else source_length
        (layer, *_), share = own.layers, source / sequence_length
        decoder = replace(
            layer,
            stream=layer.stream + self.cross_norms * self.norm.activations(self.width),
            computed=layer.computed + self.attention.activations(self.width, source),
            products=layer.products + self.attention.products(self.width),
        )
        read = LayerActivations(
            *(round(n * share) for n in (layer.stream, layer.computed, layer.products, layer.gradients, layer.scores))
        )
        return replace(own, layers=[read] * self.encoder.layers + [decoder] * self.layers)

    def tensor_parallel(self) -> int | None:
        return None

    def build(self, vocabulary: int) -> Any:
        from harness.models.model import Model
        from harness_plugins.architecture.encoder_decoder.body import EncoderDecoder

        body = EncoderDecoder(self, vocabulary)
        heads = self.widened_head().build_all(self.width, vocabulary, body.embedding_VC)
        model = Model(body, heads, self.maximum_length(), ENCODER_DECODER)
        body.initialise(model)
        return model


_TABLE = "encoder.embedding.tokens"


@hookimpl
def register_architecture() -> dict[str, type]:
    return {"encoder_decoder": EncoderDecoderConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness_plugins.architecture.encoder_decoder.conf"]
