"""The endless stream of sequences: what stands at each place is a function of (data, seed, place)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.order import Mixture, Permutation, randomness
from harness.data.shards import Side
from harness.errors import UserError
from harness.interfaces.batch import Sequences

#: Places that are looked up at once and remembered.
BLOCK = 1024


@dataclass(frozen=True)
class Part:
    """One source in a stream. weight: its share of the places."""

    name: str
    side: Side
    weight: float


class Stream:
    """Sequences of a mixture, for ever: each source in a new order each epoch.

    Sequence i of a source covers its tokens i·L … i·L + L (L + 1 of them, so that targets can be shifted; the
    last is the next one's first). Raises UserError where a source has no whole sequence.
    """

    def __init__(self, parts: Sequence[Part], sequence_length: int, seed: int) -> None:
        self.parts, self.sequence_length, self.seed = list(parts), sequence_length, seed
        #: Sequences of each source in one epoch.
        self.sizes = [sequences_in(part.side, sequence_length) for part in self.parts]
        for part, size in zip(self.parts, self.sizes, strict=True):
            if not size:
                raise UserError(
                    f"corpus {part.name} has {part.side.tokens} training tokens: too few for a sequence of "
                    f"data.sequence_length={sequence_length} and its last target. Give more text, or shorter sequences."
                )
        self.mixture = Mixture([part.weight for part in self.parts])
        self.randomness = randomness(seed)
        self._block = functools.lru_cache(maxsize=4)(self._locate_block)

    def locate(self, places_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each place its source, epoch and sequence, int64 each."""
        source, ordinal = self.mixture(places_N)
        sizes = np.array(self.sizes)[source]
        epoch, index = np.divmod(ordinal, sizes)
        sequence = np.empty_like(index)
        for s, e in sorted(set(zip(source.tolist(), epoch.tolist(), strict=True))):
            here = (source == s) & (epoch == e)
            sequence[here] = self._permutation(s, e)(index[here])
        return source, epoch, sequence

    def sequences(self, first_place: int, count: int) -> Sequences:
        """The sequences at `count` places from the first on."""
        source_B, sequence_B = self._at(first_place, count)
        starts_B, width = sequence_B * self.sequence_length, self.sequence_length + 1
        tokens_BS, documents_BS = np.empty((2, count, width), dtype=np.int64)
        for source in np.unique(source_B).tolist():
            side, here = self.parts[source].side, np.flatnonzero(source_B == source)
            for row in here.tolist():
                tokens_BS[row] = side.read(int(starts_B[row]), int(starts_B[row]) + width)
            documents_BS[here] = side.documents_at(starts_B[here, None] + np.arange(width))
        documents_BS -= documents_BS[:, :1]
        return Sequences(tokens_BS, documents_BS, places_B=np.arange(first_place, first_place + count))

    def first_repeat(self) -> int:
        """The first place at which a source begins again: before it, no sequence comes twice."""
        return min(self.mixture.place_of(source, size) for source, size in enumerate(self.sizes))

    def _permutation(self, source: int, epoch: int) -> Permutation:
        return Permutation(self.sizes[source], f"{self.seed}/{self.parts[source].name}/{epoch}")

    def _at(self, first_place: int, count: int) -> np.ndarray:
        """Source and sequence at `count` places from the first on, int64, shape (2, count)."""
        first, last = first_place // BLOCK, (first_place + max(count, 1) - 1) // BLOCK
        blocks = [self._block(block) for block in range(first, last + 1)]
        return np.concatenate(blocks, axis=1)[:, first_place - first * BLOCK :][:, :count]

    def _locate_block(self, block: int) -> np.ndarray:
        source, _, sequence = self.locate(np.arange(block * BLOCK, (block + 1) * BLOCK))
        return np.stack((source, sequence))


def sequences_in(side: Side, sequence_length: int) -> int:
    """Whole sequences, each with the token after it."""
    return max(0, side.tokens - 1) // sequence_length


def positions_within(documents_BT: np.ndarray) -> np.ndarray:
    """positions_BT: 0, 1, 2 … beginning again with each document, for rows where attention does so too."""
    places_T = np.arange(documents_BT.shape[1])
    begins_BT = np.diff(documents_BT, axis=1, prepend=documents_BT[:, :1] - 1) != 0
    return places_T - np.maximum.accumulate(np.where(begins_BT, places_T, 0), axis=1)
