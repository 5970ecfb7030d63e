"""A mixture of denoisers: span corruptions of several kinds, each announced by a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.architecture import DECODER, ENCODER_DECODER
from harness.interfaces.method import Method, ObjectiveConfig, Places, Setting
from harness_plugins.objective.span import SpanConfig

HARNESS_INTERFACE = 1

#: What announces R-, S- and X-denoising.
R, S, X = "[NLU]", "[S2S]", "[NLG]"
#: Shares that are cut out, and tokens of one piece, in the mean, of each R- and each X-denoiser (table 1).
REGULAR = ((0.15, 3.0), (0.15, 8.0))
EXTREME = ((0.5, 3.0), (0.5, 8.0), (0.15, 64.0), (0.5, 64.0))
#: The share that S-denoising cuts off at the end, in the mean.
SEQUENTIAL = 0.25


@dataclass(kw_only=True)
class Ul2Config(ObjectiveConfig):
    """A mixture of denoisers (Tay et al. 2023, "UL2", section 3.1): each row by one, drawn by weight. R cuts out short
    pieces, X many or long ones, S the end. An encoder–decoder writes what was cut out of what it reads; a decoder, in
    one row behind it."""

    likelihood: ClassVar[str | None] = "sequential"
    topologies: ClassVar[frozenset[str]] = frozenset({DECODER, ENCODER_DECODER})

    r: float = option(2.0, "weight of R-denoising, of which there are two", minimum=0.0)
    s: float = option(1.0, "weight of S-denoising, as which the model is scored", minimum=0.001)
    x: float = option(4.0, "weight of X-denoising, of which there are four", minimum=0.0)
    sentinels: int = option(
        100, "tokens of its own, which stand for pieces: at most one less of them in a row", minimum=2
    )

    def extra_tokens(self) -> tuple[str, ...]:
        return (R, S, X, *SpanConfig(sentinels=self.sentinels).extra_tokens())

    def denoisers(self) -> list[tuple[float, str, SpanConfig | None]]:
        """Share of the rows, mode, and what is cut out; None: the end."""
        total = self.r + self.s + self.x
        found: list[tuple[float, str, SpanConfig | None]] = [(self.s / total, S, None)]
        for weight, mode, kinds in ((self.r, R, REGULAR), (self.x, X, EXTREME)):
            spans = [SpanConfig(rate=rate, length=length) for rate, length in kinds]
            found += [(weight / total / len(kinds), mode, span) for span in spans if weight]
        return found

    def places(self, sequence_length: int, topology: str) -> Places:
        shares = [share for share, _, _ in self.denoisers()]
        cuts = [self._cut(span, sequence_length, SEQUENTIAL) for _, _, span in self.denoisers()]
        rows = [_places(sequence_length, *cut, topology) for cut in cuts]
        written, read = (sum(share * row[side] for share, row in zip(shares, rows, strict=True)) for side in (0, 1))
        return Places(round(written), round(read))

    def longest(self, sequence_length: int, topology: str) -> int:
        rows = [
            _places(sequence_length, *self._cut(span, sequence_length, end), topology)
            for _, _, span in self.denoisers()
            for end in (0.0, 2 * SEQUENTIAL)
        ]
        return max(max(row) for row in rows)

    def _cut(self, span: SpanConfig | None, tokens: int, end: float) -> tuple[int, int]:
        """How many of so many tokens are cut out, and in how many pieces. end: the share that S-denoising cuts off.
        Raises ConfigError where there are more pieces than sentinels."""
        cut, pieces = span.pieces(tokens) if span else (round(tokens * end), 1)
        if pieces >= self.sentinels:
            raise ConfigError(
                f"objective=ul2 cuts {pieces} pieces out of data.sequence_length={tokens} tokens and has "
                f"method.sentinels={self.sentinels}: say at least {pieces + 1}."
            )
        return cut, pieces

    def build(self, setting: Setting) -> Method:
        from harness.models.rewriting import Rewriting
        from harness_plugins.objective.ul2.ul2 import MixtureOfDenoisers

        return Rewriting("ul2", MixtureOfDenoisers(self, setting), setting, logits_chunk=self.logits_chunk)


def _places(tokens: int, cut: int, pieces: int, topology: str) -> Places:
    """Of a row with a mode and a sentinel for each piece, and what is written, with a sentinel more."""
    read, written = 1 + tokens - cut + pieces, cut + pieces + 1
    return Places(written, read) if topology == ENCODER_DECODER else Places(read + written)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"ul2": Ul2Config}
