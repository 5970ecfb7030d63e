"""What is done to a row before it is read (Lewis et al. 2020, section 2.2)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from harness.data.borders import borders, words_of
from harness.interfaces.method import Setting
from harness.models.rewriting import Text, joined

if TYPE_CHECKING:
    from harness_plugins.objective.bart import BartConfig


class Denoising:
    """A row to what is read of it, and the whole row. Each document is changed by itself, and the end that opens it
    stays where it is."""

    def __init__(self, config: BartConfig, setting: Setting) -> None:
        self.rate, self.length, self.permuted = config.rate, config.length, config.permuted
        tokenizer = setting.tokenizer
        (self.mask,), self.end = (setting.extra[name] for name in config.extra_tokens()), tokenizer.end
        self.borders = borders(tokenizer, setting.extra.values())
        texts = [tokenizer.decode([token]) for token in range(tokenizer.size)]
        self.ends_line_V = np.array(["\n" in text for text in texts])
        self.ends_sentence_V = np.array([text.rstrip().endswith((".", "!", "?")) for text in texts])

    def __call__(self, row: Text, rng: np.random.Generator) -> tuple[Text, Text]:
        starts = np.flatnonzero(row.tokens == self.end)
        edges = np.unique([0, *starts, *(starts + 1), len(row.tokens)])
        pieces = [row.of(slice(*places)) for places in itertools.pairwise(edges)]
        return joined([piece if piece.tokens[0] == self.end else self._noised(piece, rng) for piece in pieces]), row

    def _noised(self, text: Text, rng: np.random.Generator) -> Text:
        if self.permuted:
            numbers_T = self.sentences(text.tokens)
            text = text.of(np.argsort(rng.permutation(numbers_T[-1] + 1)[numbers_T], kind="stable"))
        return infilled(text, spans(round(len(text.tokens) * self.rate), self.length, rng), self.mask, rng)

    def sentences(self, tokens_T: np.ndarray) -> np.ndarray:
        """The number of each token's sentence, from 0."""
        ends_word_T = np.diff(words_of(tokens_T, *self.borders)) > 0
        ends_T = self.ends_line_V[tokens_T[:-1]] | (self.ends_sentence_V[tokens_T[:-1]] & ends_word_T)
        numbers_T: np.ndarray = np.cumsum(np.r_[False, ends_T])
        return numbers_T


def spans(total: int, mean: float, rng: np.random.Generator) -> np.ndarray:
    """Lengths from a Poisson distribution; the last is what is left of the total. Never more of them than the total, so
    that a mask for each makes no text longer."""
    lengths_M = rng.poisson(mean, total)
    lengths_M = lengths_M[: np.searchsorted(np.cumsum(lengths_M), total) + 1]
    lengths_M[-1:] += total - lengths_M.sum()
    return lengths_M


def infilled(text: Text, lengths_M: np.ndarray, mask: int, rng: np.random.Generator) -> Text:
    """A mask in place of each span. All orders of masks and of what is left are equally likely."""
    left = len(text.tokens) - lengths_M.sum()
    is_mask_R = rng.permutation(np.arange(left + len(lengths_M)) < len(lengths_M))
    widths_R = np.ones(len(is_mask_R), np.int64)
    widths_R[is_mask_R] = lengths_M
    starts_R = np.minimum(np.cumsum(widths_R) - widths_R, len(text.tokens) - 1)
    return Text(np.where(is_mask_R, mask, text.tokens[starts_R]), text.documents[starts_R])
