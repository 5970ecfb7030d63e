"""Span corruption: pieces that are cut out of a text, from what is left of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.architecture import DECODER, ENCODER_DECODER
from harness.interfaces.method import Method, ObjectiveConfig, Places, Setting

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class SpanConfig(ObjectiveConfig):
    """Span corruption (Raffel et al. 2020, "T5", section 3.1.4): an encoder–decoder writes what was cut out of what it
    reads; a decoder, in one row behind it."""

    likelihood: ClassVar[str | None] = "infilling"
    topologies: ClassVar[frozenset[str]] = frozenset({DECODER, ENCODER_DECODER})

    rate: float = option(0.15, "share of the tokens that are cut out", minimum=0.001, maximum=0.9)
    length: float = option(3.0, "tokens of one piece, in the mean", minimum=1.0)
    sentinels: int = option(
        100, "tokens of its own, which stand for pieces: at most one less of them in a row", minimum=2
    )

    def extra_tokens(self) -> tuple[str, ...]:
        return tuple(f"<extra_id_{number}>" for number in range(self.sentinels))

    def pieces(self, tokens: int) -> tuple[int, int]:
        """How many of so many tokens are cut out, and in how many pieces."""
        cut = min(max(round(tokens * self.rate), 1), tokens - 1)
        return cut, min(max(round(cut / self.length), 1), tokens - cut)

    def places(self, sequence_length: int, topology: str) -> Places:
        cut, pieces = self.pieces(sequence_length)
        if pieces >= self.sentinels:
            raise ConfigError(
                f"objective=span cuts {pieces} pieces out of data.sequence_length={sequence_length} tokens and has "
                f"method.sentinels={self.sentinels}: say at least {pieces + 1}, or longer pieces."
            )
        read, written = sequence_length - cut + pieces, cut + pieces + 1
        return Places(written, read) if topology == ENCODER_DECODER else Places(read + 1 + written - 1)

    def build(self, setting: Setting) -> Method:
        from harness.models.rewriting import Rewriting
        from harness_plugins.objective.span.span import SpanCorruption

        return Rewriting("span", SpanCorruption(self, setting), setting, logits_chunk=self.logits_chunk)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"span": SpanConfig}
