"""The order of the endless stream, in closed form: place → source, epoch, sequence, and a generator for each place.

Nothing here has state. Resuming is asking for a later place.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from harness.interfaces.batch import Randomness

#: Places in the longest period of a mixture: weights are rounded to this part of the whole.
PERIOD = 1000
ROUNDS = 8


class Permutation:
    """A keyed permutation of 0 … n − 1 that needs no table.

    A Feistel network over the bits of the index (Luby and Rackoff 1988), walked until it falls below n again
    (Black and Rogaway 2002, cycle walking): about 4 trips at most, on average.
    """

    def __init__(self, n: int, key: str) -> None:
        assert n >= 1
        self.n = n
        self._half = np.uint64(max(2, ((n - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = np.frombuffer(hashlib.blake2b(key.encode(), digest_size=8 * ROUNDS).digest(), dtype="<u8")

    def __call__(self, index_N: np.ndarray) -> np.ndarray:
        """Where each index goes, int64."""
        value = self._network(index_N.astype(np.uint64))
        while (outside := value >= self.n).any():
            value[outside] = self._network(value[outside])
        return value.astype(np.int64)

    def _network(self, value: np.ndarray) -> np.ndarray:
        left, right = value >> self._half, value & self._mask
        for key in self._keys:
            left, right = right, left ^ (_scramble(right ^ key) & self._mask)
        return left << self._half | right


def _scramble(x: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


class Mixture:
    """Which source each place draws from: one period, evenly spread, repeated for ever.

    counts_S: places of each source in a period, the weights rounded to whole places, at least one each.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self.counts_S = quantise(weights)
        self.period = int(self.counts_S.sum())
        due = np.concatenate([(np.arange(count) + 0.5) / count for count in self.counts_S])
        source = np.repeat(np.arange(len(self.counts_S)), self.counts_S)
        self._source_P = source[np.lexsort((source, due))]
        chosen_PS = self._source_P[:, None] == np.arange(len(self.counts_S))
        self._before_PS = np.concatenate([np.zeros_like(chosen_PS[:1]), chosen_PS]).cumsum(axis=0)

    def __call__(self, places_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each place its source, and how many places of that source came before it; int64 both."""
        periods, rest = np.divmod(places_N, self.period)
        source = self._source_P[rest]
        return source, periods * self.counts_S[source] + self._before_PS[rest, source]

    def counts_before(self, place: int) -> np.ndarray:
        """How many of the places 0 … place − 1 each source has."""
        periods, rest = divmod(place, self.period)
        return periods * self.counts_S + self._before_PS[rest]

    def place_of(self, source: int, ordinal: int) -> int:
        """The place at which a source is drawn from for the ordinal-th time, counted from 0."""
        periods, rest = divmod(ordinal, int(self.counts_S[source]))
        return periods * self.period + int(np.flatnonzero(self._source_P == source)[rest])


def quantise(weights: Sequence[float]) -> np.ndarray:
    """Whole numbers nearest to the proportion of the weights, at least 1 each; their sum is at most `PERIOD` where
    no weight is below that part of the whole.

    Every sum up to `PERIOD` is tried by largest remainders; of those that come equally near the smallest is taken:
    9 and 1 for 0.9 and 0.1.
    """
    shares_S = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    assert (shares_S > 0).all()
    sums_N = np.arange(len(shares_S), PERIOD + 1)
    exact_NS = sums_N[:, None] * shares_S
    counts_NS = np.maximum(1, np.floor(exact_NS + 1e-9)).astype(np.int64)
    rank_NS = np.argsort(np.argsort(counts_NS - exact_NS, axis=1, kind="stable"), axis=1)
    counts_NS += rank_NS < (sums_N - counts_NS.sum(axis=1))[:, None]
    errors_N = np.abs(counts_NS / counts_NS.sum(axis=1, keepdims=True) - shares_S).max(axis=1)
    return counts_NS[np.argmin(errors_N.round(9))]


def randomness(seed: int | str) -> Randomness:
    """The generator of every random choice about a place, keyed by (seed, place)."""
    word = hashlib.blake2b(f"randomness/{seed}".encode(), digest_size=8).digest()
    return functools.partial(_generator, int.from_bytes(word, "big"))


def _generator(word: int, place: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([word, place], dtype=np.uint64)))
