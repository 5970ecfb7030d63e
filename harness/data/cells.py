"""Cells: what stands at one place of the stream, cut out of one side of a source."""

from __future__ import annotations

import bisect
import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from harness.data.shards import Side
from harness.errors import UserError
from harness.interfaces.batch import PADDING, Sequences
from harness.interfaces.method import PACKED, SEQUENCES


class Cells(Protocol):
    def __len__(self) -> int: ...

    def read(self, cells_N: np.ndarray, places_N: np.ndarray) -> Sequences:
        """A row for each, told by its place in the stream."""
        ...


@dataclass(frozen=True)
class Cut:
    """How a side is cut: kind, one of those in `harness.interfaces.method`; length, tokens of one sequence; room, how
    many of them an example leaves free, for what is generated behind it."""

    kind: str
    length: int
    room: int = 0

    def __call__(self, side: Side) -> Cells:
        return _cells(self, side)

    def left_out(self, side: Side) -> int:
        """How many examples of a side are too long."""
        cells = self(side)
        return cells.left_out if isinstance(cells, Whole) else 0


@functools.lru_cache(maxsize=32)  # packing a million examples takes seconds
def _cells(cut: Cut, side: Side) -> Cells:
    if cut.kind == SEQUENCES:
        return Windows(side, cut.length)
    return Whole(side, cut.length, cut.room, packed=cut.kind == PACKED)


class Windows:
    """Sequences of one length, regardless of where documents end. Sequence i covers tokens i·L … i·L + L: L + 1 of
    them, so that targets can be shifted; the last is the next one's first."""

    def __init__(self, side: Side, length: int) -> None:
        self.side, self.length = side, length

    def __len__(self) -> int:
        return max(0, self.side.tokens - 1) // self.length

    def read(self, cells_N: np.ndarray, places_N: np.ndarray) -> Sequences:
        starts_N, width = cells_N * self.length, self.length + 1
        tokens_NS = np.stack([self.side.read(start, start + width) for start in starts_N.tolist()])
        documents_NS = self.side.documents_at(starts_N[:, None] + np.arange(width))
        return Sequences(tokens_NS, documents_NS - documents_NS[:, :1], places_N)


class Whole:
    """Whole examples: one in each cell, or as many as fit. Those that are longer than a sequence are left out: cut
    short, they would teach what nobody wrote.

    An example is as long as its prompt with its longest answer; packed, with all of them. left_out: how many are too
    long.
    """

    def __init__(self, side: Side, length: int, room: int, packed: bool) -> None:
        self.side, self.width, self.packed = side, length + 1, packed
        self._ends_E = side.end_places_D + 1
        self._starts_E = np.concatenate([[0], self._ends_E])[:-1].astype(np.int64)
        lengths_E = self._ends_E - self._starts_E if packed or side.longest_D is None else side.longest_D
        fitting_F = np.flatnonzero(lengths_E <= self.width - room)
        self.left_out = len(lengths_E) - len(fitting_F)
        cells_F = packing(lengths_E[fitting_F], self.width) if packed else np.arange(len(fitting_F))
        self._examples_F = fitting_F[np.argsort(cells_F, kind="stable")]
        self._bounds = np.concatenate([[0], np.cumsum(np.bincount(cells_F))]).astype(np.int64)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def read(self, cells_N: np.ndarray, places_N: np.ndarray) -> Sequences:
        cells = [self._examples_F[self._bounds[cell] : self._bounds[cell + 1]] for cell in cells_N.tolist()]
        sizes = [int((self._ends_E[cell] - self._starts_E[cell]).sum()) for cell in cells]
        shape = (len(cells), self.width if self.packed else max(sizes))
        tokens_NS, documents_NS = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        parts_NS = np.full(shape, PADDING, np.uint8)
        for row, cell in enumerate(cells):
            at = 0
            for number, example in enumerate(cell.tolist()):
                start, end = int(self._starts_E[example]), int(self._ends_E[example])
                here = slice(at, at := at + end - start)
                tokens_NS[row, here] = self.side.read(start, end)
                parts_NS[row, here] = self.side.parts(start, end)
                documents_NS[row, here] = number
            documents_NS[row, at:] = len(cell)
        numbers_N = None if self.packed else self.side.numbers_D[[cell[0] for cell in cells]]
        return Sequences(tokens_NS, documents_NS, places_N, parts_NS, numbers_N)


def packing(lengths_E: np.ndarray, width: int) -> np.ndarray:
    """Examples in cells of `width` tokens, each in the fullest cell that has room for it, the longest first (best fit
    decreasing: at most 11/9 of the fewest cells, and 4; Johnson 1974). The number of each example's cell, int64.
    """
    open_cells: dict[int, list[int]] = {}  # room that is left → cells
    rooms: list[int] = []  # the keys, ascending
    cells_E, cells = np.zeros(len(lengths_E), np.int64), 0
    for example in np.argsort(-lengths_E, kind="stable").tolist():
        length = int(lengths_E[example])
        at = bisect.bisect_left(rooms, length)
        if at == len(rooms):
            cell, room = cells, width
            cells += 1
        else:
            room = rooms[at]
            cell = open_cells[room].pop()
            if not open_cells[room]:
                del open_cells[room], rooms[at]
        cells_E[example] = cell
        left = room - length
        if left > 0:
            if left not in open_cells:
                open_cells[left] = []
                bisect.insort(rooms, left)
            open_cells[left].append(cell)
    return cells_E


def too_few(source: str, side: Side, cut: Cut) -> UserError:
    """What is told of a source that fills no place."""
    if cut.kind == SEQUENCES:
        return UserError(
            f"corpus {source} has {side.tokens} training tokens: too few for a sequence of "
            f"data.sequence_length={cut.length} and its last target. Give more text, or shorter sequences."
        )
    free = f", which leaves {cut.room} of them free for answers," if cut.room else ""
    return UserError(
        f"corpus {source}: none of its {len(side.numbers_D)} examples fits into data.sequence_length={cut.length} "
        f"tokens{free} and an example is never cut. Give longer sequences, or shorter examples."
    )
