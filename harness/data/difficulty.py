"""Which cells of a side are easy: those of frequent tokens."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from harness.data.cells import Cut, Windows
from harness.data.shards import Side
from harness.interfaces.batch import PADDING

#: Cells that are read at once.
BLOCK = 1024
#: Nats are counted in whole parts of this size, so that their sums are the same on every machine.
PARTS = 2**20


@functools.lru_cache(maxsize=32)
def easiest_first(cut: Cut, side: Side) -> np.ndarray:
    """The numbers of a side's cells, int64: the easiest first, of equals the first first.

    A cell is as hard as its tokens are rare: −Σ log p̂(token), where p̂ is a token's share of the side's tokens
    (word rarity, Platanios et al. 2019, section 2.1). Reads all cells twice.
    """
    counts_V = np.zeros(0, dtype=np.int64)
    for tokens_NS, shown_NS in _cells(cut, side):
        found_V = np.bincount(tokens_NS[shown_NS], minlength=len(counts_V))
        found_V[: len(counts_V)] += counts_V
        counts_V = found_V
    nats_V = np.rint(-np.log(np.maximum(counts_V, 1) / counts_V.sum()) * PARTS).astype(np.int64)
    rarity_N = np.concatenate([(nats_V[tokens_NS] * shown_NS).sum(axis=1) for tokens_NS, shown_NS in _cells(cut, side)])
    return np.argsort(rarity_N, kind="stable")


def _cells(cut: Cut, side: Side) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tokens of the cells, block by block, and which of them are no padding. The last target of a sequence is the next
    one's first token, and counted there."""
    cells = cut(side)
    for start in range(0, len(cells), BLOCK):
        stop = min(start + BLOCK, len(cells))
        if isinstance(cells, Windows):
            tokens_NS = side.read(start * cut.length, stop * cut.length).reshape(-1, cut.length)
            yield tokens_NS, np.ones(tokens_NS.shape, dtype=bool)
        else:
            rows = cells.read(np.arange(start, stop), np.arange(start, stop))
            assert rows.parts_BS is not None
            yield rows.tokens_BS, rows.parts_BS != PADDING
