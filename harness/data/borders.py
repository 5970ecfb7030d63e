"""Where words begin and end in tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def borders(tokenizer: Any, extra: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Of each token whether a word begins with it, and whether one begins behind it: at a space, unless the tokenizer
    itself says where its words begin. extra: numbers of a method's own tokens, and the end: each is a word of its own.
    """
    alone = [tokenizer.end, *extra]
    size = max([tokenizer.size, *(token + 1 for token in alone)])
    texts = [tokenizer.decode([token]) for token in range(tokenizer.size)]
    begins = getattr(tokenizer, "begins_word", lambda token: texts[token][:1].isspace())
    begins_V, ends_V = np.zeros((2, size), dtype=bool)
    begins_V[: tokenizer.size] = [begins(token) for token in range(tokenizer.size)]
    ends_V[: tokenizer.size] = [text[-1:].isspace() for text in texts]
    begins_V[alone] = ends_V[alone] = True
    return begins_V, ends_V


def words_of(tokens_T: Sequence[int] | np.ndarray, begins_V: np.ndarray, ends_V: np.ndarray) -> np.ndarray:
    """The number of each token's word, from 0."""
    tokens_T = np.asarray(tokens_T)
    begins_T = begins_V[tokens_T]
    begins_T[1:] |= ends_V[tokens_T[:-1]]
    begins_T[:1] = True
    words_T: np.ndarray = np.cumsum(begins_T) - 1
    return words_T
