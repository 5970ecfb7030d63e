"""Which denoiser a row is given to, and what that makes of it (Tay et al. 2023, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.interfaces.method import Setting
from harness.models.rewriting import Text
from harness_plugins.objective.span.span import corrupted, cut_out

if TYPE_CHECKING:
    from harness_plugins.objective.ul2 import Ul2Config


class MixtureOfDenoisers:
    """A row to what is read, with the token of its denoiser before each document and a sentinel for each piece, and
    what is written: each sentinel with its piece, and one more sentinel. R and X cut out pieces as `span` does."""

    def __init__(self, config: Ul2Config, setting: Setting) -> None:
        self.denoisers = config.denoisers()
        self.shares = [share for share, _, _ in self.denoisers]
        self.no_text = [setting.tokenizer.end]
        self.modes = {mode: setting.extra[mode] for _, mode, _ in self.denoisers}
        self.sentinels = [setting.extra[name] for name in config.extra_tokens()[3:]]

    def __call__(self, row: Text, rng: np.random.Generator) -> tuple[Text, Text]:
        _, mode, span = self.denoisers[rng.choice(len(self.denoisers), p=self.shares)]
        if span is None:
            cut_T = tails(row.documents, rng)
        else:
            length = len(row.tokens)
            cut_T = cut_out(length, *span.pieces(length), rng) & ~np.isin(row.tokens, self.no_text)
        read, written = corrupted(row, cut_T, self.sentinels)
        return announced(read, self.modes[mode]), written


def tails(documents_T: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which places are cut off, bool: the end of each document, of any length up to half of it, so a quarter in the
    mean. A single token stays."""
    cut_T = np.zeros(len(documents_T), bool)
    for places_N in np.split(np.arange(len(documents_T)), np.flatnonzero(np.diff(documents_T)) + 1):
        if half := len(places_N) // 2:
            cut_T[places_N[-int(rng.integers(1, half + 1)) :]] = True
    return cut_T


def announced(read: Text, mode: int) -> Text:
    """With the token of its denoiser before each document."""
    starts = np.flatnonzero(np.diff(read.documents, prepend=read.documents[0] - 1))
    return Text(np.insert(read.tokens, starts, mode), np.insert(read.documents, starts, read.documents[starts]))
