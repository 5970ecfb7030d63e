"""Pseudo-log-likelihood (Salazar et al. 2020, "Masked Language Model Scoring", equation 2), corrected within words.

With a token of a word hidden and the rest of the word shown, the rest gives it away: rare words of many tokens would be
likelier than common ones of one. So the tokens of the same word that follow are hidden with it (Kauf & Ivanova 2023, "A
Better Way to Do Masked Language Model Scoring", PLL-word-l2r).
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from harness.data.borders import borders, words_of
from harness.interfaces.likelihood import Asked, Row

#: The token that hides another.
MASK = "[MASK]"


#: Of a long text, one of so many tokens is asked for.
STEP = 8


class PseudoLikelihood:
    """A row for each token that is asked for."""

    def __init__(self, asked: Asked) -> None:
        self.room, self.mask = asked.length, asked.extra[MASK]
        self.borders = borders(asked.tokenizer, asked.extra.values())

    def rows(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        return self._asked(context, continuation, range(len(continuation)), 1)

    def rolling(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        """Every eighth token, from one on that follows from the tokens, so that any model is asked the same."""
        if len(continuation) < STEP:
            return self.rows(context, continuation)
        return self.sample(context, continuation, crc32(np.asarray(continuation, "<i8").tobytes()) % STEP)

    def sample(self, context: Sequence[int], continuation: Sequence[int], first: int) -> list[Row]:
        """A systematic sample (Cochran 1977, chapter 8): over all `first` below `STEP`, its mean is the exact sum."""
        return self._asked(context, continuation, range(first, len(continuation), STEP), STEP)

    def _asked(self, context: Sequence[int], continuation: Sequence[int], which: range, weight: float) -> list[Row]:
        shown = [*context, *continuation][-self.room :]
        words = words_of(shown, *self.borders)
        found = []
        for place in (len(shown) - len(continuation) + at for at in which):
            hidden = [
                self.mask if place <= at and words[at] == words[place] else token for at, token in enumerate(shown)
            ]
            found.append(Row(inputs=hidden, places=[place], targets=[shown[place]], weight=weight))
        return found
