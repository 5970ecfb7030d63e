"""The endless stream: what stands at each place is a function of (data, seed, place)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.data.cells import Cut, too_few
from harness.data.curriculum import Stage, changes, pieces
from harness.data.difficulty import easiest_first
from harness.data.order import Mixtures, Order, randomness
from harness.data.shards import Side
from harness.interfaces.batch import PADDING, Randomness, Sequences

#: Places that are looked up at once and remembered.
BLOCK = 1024


@dataclass(frozen=True)
class Part:
    """One source in a stream. weight: its share of the places."""

    name: str
    side: Side
    weight: float


class Stream:
    """What a mixture's sides are cut into, for ever: each source in a new order each epoch. stages: of a curriculum,
    which has shares of its own, or begins with what is easy. Raises UserError where a source fills not one place."""

    def __init__(self, parts: Sequence[Part], cut: Cut, seed: int, stages: Sequence[Stage] = ()) -> None:
        self.parts, self.length, self.seed = list(parts), cut.length, seed
        self.cells = [cut(part.side) for part in self.parts]
        #: Places that each source fills in one epoch.
        self.sizes = [len(cells) for cells in self.cells]
        for part, size in zip(self.parts, self.sizes, strict=True):
            if not size:
                raise too_few(part.name, part.side, cut)
        own = {part.name: part.weight for part in self.parts}
        mixed = [(place, own if of is None else of) for place, of in changes(stages, "sources")]
        self.mixture = Mixtures([(place, [of.get(name, 0.0) for name in own]) for place, of in mixed])
        shares = [(self.mixture.counts_before(place), share) for place, share in changes(stages, "easiest")]
        #: Of each source what comes at each draw: a sequence, and where easy ones come first its rank among them.
        self.orders = []
        for s, (part, size) in enumerate(zip(self.parts, self.sizes, strict=True)):
            pools = [(int(drawn_S[s]), math.ceil(share * size - 1e-9)) for drawn_S, share in shares]
            self.orders.append(Order(f"{seed}/{part.name}", pools))
        self._ranked = [easiest_first(cut, part.side) for part in self.parts] if len(shares) > 1 else []
        self.randomness = randomness(seed)
        self._block = functools.lru_cache(maxsize=4)(self._locate_block)

    def locate(self, places_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each place its source, epoch and sequence, int64 each."""
        source, ordinal = self.mixture(places_N)
        epoch, sequence = np.empty((2, len(places_N)), dtype=np.int64)
        for s in np.unique(source).tolist():
            here = source == s
            epoch[here], found = self.orders[s](ordinal[here])
            sequence[here] = self._ranked[s][found] if self._ranked else found
        return source, epoch, sequence

    def sequences(self, first_place: int, count: int) -> Sequences:
        """The sequences at `count` places from the first on."""
        source_B, cell_B = self._at(first_place, count)
        places_B = np.arange(first_place, first_place + count)
        read = []
        for source in np.unique(source_B).tolist():
            here = source_B == source
            read.append(self.cells[source].read(cell_B[here], places_B[here]))
            read[-1].sources_B = source_B[here]
        return joined(read)

    def pieces(self, first_place: int, count: int, length: int) -> tuple[Sequences, Randomness]:
        """The same in pieces of so many tokens, and the generators of the choices about these, keyed by (seed, length,
        number of the piece). A whole sequence is its own piece, and known by its place."""
        whole = self.sequences(first_place, count)
        if length == self.length:
            return whole, self.randomness
        return pieces(whole, length), randomness(f"{self.seed}/{length}")

    def first_repeat(self) -> int:
        """The first place at which a source begins again: before it, no sequence comes twice."""
        return min(self.mixture.place_of(source, order.first_repeat) for source, order in enumerate(self.orders))

    def all_shown(self) -> int:
        """How many places show every sequence at least once."""
        return 1 + max(self.mixture.place_of(source, order.all_came - 1) for source, order in enumerate(self.orders))

    def _at(self, first_place: int, count: int) -> np.ndarray:
        """Source and sequence at `count` places from the first on, int64, shape (2, count)."""
        first, last = first_place // BLOCK, (first_place + max(count, 1) - 1) // BLOCK
        blocks = [self._block(block) for block in range(first, last + 1)]
        return np.concatenate(blocks, axis=1)[:, first_place - first * BLOCK :][:, :count]

    def _locate_block(self, block: int) -> np.ndarray:
        source, _, sequence = self.locate(np.arange(block * BLOCK, (block + 1) * BLOCK))
        return np.stack((source, sequence))


def joined(read: Sequence[Sequences]) -> Sequences:
    """Rows of several sources in the order of their places, padded to one width."""
    if len(read) == 1:
        return read[0]
    order_B = np.argsort(np.concatenate([rows.places_B for rows in read]))
    width = max(rows.tokens_BS.shape[1] for rows in read)

    def of(name: str, padding: int = 0) -> Any:
        columns = [getattr(rows, name) for rows in read]
        if columns[0] is None:
            return None
        if columns[0].ndim == 2 and any(column.shape[1] < width for column in columns):
            columns = [np.pad(c, [(0, 0), (0, width - c.shape[1])], constant_values=padding) for c in columns]
        return np.concatenate(columns)[order_B]

    return Sequences(
        of("tokens_BS"), of("documents_BS", -1), of("places_B"), of("parts_BS", PADDING), of("numbers_B"),
        of("sources_B"),
    )  # fmt: skip


def positions_within(documents_BT: np.ndarray) -> np.ndarray:
    """positions_BT: 0, 1, 2 … beginning again with each document, for rows where attention does so too."""
    places_T = np.arange(documents_BT.shape[1])
    begins_BT = np.diff(documents_BT, axis=1, prepend=documents_BT[:, :1] - 1) != 0
    return places_T - np.maximum.accumulate(np.where(begins_BT, places_T, 0), axis=1)
