"""What is cut out of a row, and what stands in its place (Raffel et al. 2020, section 3.1.4 and figure 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.interfaces.method import Setting
from harness.models.rewriting import Text, joined

if TYPE_CHECKING:
    from harness_plugins.objective.span import SpanConfig


class SpanCorruption:
    """A row to what is read, with a sentinel for each piece, and what is written: each sentinel with its piece, and one
    more sentinel, which ends it. Reading one into the other gives the row again.

    As in T5 the share that is cut out and the number of pieces are the same for all rows, and where they stand is
    chance. The end is no text and is never cut out, so no piece reaches from one document into the next.
    """

    def __init__(self, config: SpanConfig, setting: Setting) -> None:
        self.pieces, self.no_text = config.pieces, [setting.tokenizer.end]
        self.sentinels = [setting.extra[name] for name in config.extra_tokens()]

    def __call__(self, row: Text, rng: np.random.Generator) -> tuple[Text, Text]:
        cut_T = cut_out(len(row.tokens), *self.pieces(len(row.tokens)), rng) & ~np.isin(row.tokens, self.no_text)
        return corrupted(row, cut_T, self.sentinels)


def cut_out(tokens: int, cut: int, pieces: int, rng: np.random.Generator) -> np.ndarray:
    """Which places are cut out, bool: so many, in so many pieces, each behind at least one that is left. All ways to
    share out both are equally likely."""
    kept_P, cut_P = _shares(tokens - cut, pieces, rng), _shares(cut, pieces, rng)
    return np.repeat(np.tile([False, True], pieces), np.stack([kept_P, cut_P], axis=1).ravel())


def _shares(total: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """A total in so many parts of at least one."""
    borders = np.sort(rng.choice(total - 1, parts - 1, replace=False)) + 1
    shares: np.ndarray = np.diff(np.r_[0, borders, total])
    return shares


def corrupted(row: Text, cut_T: np.ndarray, sentinels: list[int]) -> tuple[Text, Text]:
    """What is left, with a sentinel for each piece; and the pieces, each behind its sentinel, with one at the end. A
    sentinel belongs to the document of its piece. Pieces for which no sentinel is left stay."""
    starts = np.flatnonzero(cut_T & ~np.r_[False, cut_T[:-1]])[: len(sentinels) - 1]
    ends = np.flatnonzero(cut_T & ~np.r_[cut_T[1:], False])[: len(starts)] + 1
    read, written, at = [], [], 0
    for sentinel, start, end in zip(sentinels, starts, ends, strict=False):
        mark = Text(np.array([sentinel]), row.documents[start : start + 1])
        read += [row.of(slice(at, start)), mark]
        written += [mark, row.of(slice(start, end))]
        at = end
    last = Text(
        np.array([sentinels[len(starts)]]), row.documents[-1:] if not len(starts) else written[-1].documents[-1:]
    )
    return joined([*read, row.of(slice(at, None))]), joined([*written, last])
