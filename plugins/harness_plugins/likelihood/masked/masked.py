"""Pseudo-log-likelihood (Salazar et al. 2020, "Masked Language Model Scoring", equation 2), corrected within words.

With a token of a word hidden and the rest of the word shown, the rest gives it away: rare words of many tokens would be
likelier than common ones of one. So the tokens of the same word that follow are hidden with it (Kauf & Ivanova 2023, "A
Better Way to Do Masked Language Model Scoring", PLL-word-l2r).
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.borders import borders, words_of
from harness.interfaces.likelihood import Asked, Row

#: The token that hides another.
MASK = "[MASK]"


class PseudoLikelihood:
    """A row for each token that is asked for."""

    def __init__(self, asked: Asked) -> None:
        self.room, self.mask = asked.length, asked.extra[MASK]
        self.borders = borders(asked.tokenizer, asked.extra.values())

    def rows(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        shown = [*context, *continuation][-self.room :]
        first = len(shown) - len(continuation)
        words = words_of(shown, *self.borders)
        found = []
        for place in range(first, len(shown)):
            hidden = [
                self.mask if place <= at and words[at] == words[place] else token for at, token in enumerate(shown)
            ]
            found.append(Row(inputs=hidden, places=[place], targets=[shown[place]]))
        return found
