"""The order of the endless stream, in closed form: place → source, epoch, sequence, and a generator for each place.

Nothing here has state. Resuming is asking for a later place.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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

    counts_S: places of each source in a period, the weights rounded to whole places, at least one each; none where a
    weight is 0.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        weights_S = np.asarray(weights, dtype=np.float64)
        self.counts_S = np.zeros(len(weights_S), dtype=np.int64)
        self.counts_S[weights_S > 0] = quantise(weights_S[weights_S > 0])
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


class Mixtures:
    """Mixtures one after the other. changes: the first place and the weights of each, the first from place 0 on; in the
    last of them every source has a weight."""

    def __init__(self, changes: Sequence[tuple[int, Sequence[float]]]) -> None:
        self._firsts = [first for first, _ in changes]
        self._mixtures = [Mixture(weights) for _, weights in changes]
        self._before = [np.zeros(len(changes[0][1]), dtype=np.int64)]
        for mixture, (here, then) in zip(self._mixtures, pairwise(self._firsts), strict=False):
            self._before.append(self._before[-1] + mixture.counts_before(then - here))

    def __call__(self, places_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each place its source, and how many places of that source came before it; int64 both."""
        number_N = np.searchsorted(self._firsts, places_N, side="right") - 1
        source_N, ordinal_N = np.empty((2, len(places_N)), dtype=np.int64)
        for number in np.unique(number_N).tolist():
            here = number_N == number
            source, ordinal = self._mixtures[number](places_N[here] - self._firsts[number])
            source_N[here], ordinal_N[here] = source, self._before[number][source] + ordinal
        return source_N, ordinal_N

    def counts_before(self, place: int) -> np.ndarray:
        """How many of the places 0 … place − 1 each source has."""
        number = bisect.bisect_right(self._firsts, place) - 1
        return self._before[number] + self._mixtures[number].counts_before(place - self._firsts[number])

    def place_of(self, source: int, ordinal: int) -> int:
        """The place at which a source is drawn from for the ordinal-th time, counted from 0."""
        number = max(n for n, before_S in enumerate(self._before) if before_S[source] <= ordinal)
        within = ordinal - int(self._before[number][source])
        return self._firsts[number] + self._mixtures[number].place_of(source, within)


@dataclass(frozen=True)
class _Draws:
    """Those from one pool. size: what is left of the pass that is under way at their first, with what the pool grew by.
    kept: how much was left. behind: draws from the pool before that led here. epoch: the number of the pass."""

    first: int
    pool: int
    size: int
    kept: int = 0
    behind: int = 0
    epoch: int = 0

    def then(self, first: int, pool: int) -> _Draws:
        drawn = first - self.first
        passes = max(0, -(-(drawn - self.size) // self.pool))
        left = self.size + passes * self.pool - drawn
        return _Draws(first, pool, left + pool - self.pool, left, drawn, self.epoch + passes)


class Order:
    """What comes at each draw, for ever: passes over a pool, each in a new order.

    pools: the first draw and the size of each; a pool of size m holds 0 … m − 1. What one grows by joins the pass that
    is under way, and a pass ends where nothing is left of it. So nothing comes twice before all of a pool has come.
    A draw is found through the pools before it, without the draws.
    """

    def __init__(self, key: str, pools: Sequence[tuple[int, int]]) -> None:
        self.key = key
        self._draws = [_Draws(*pools[0], size=pools[0][1])]
        for first, pool in pools[1:]:
            if pool > self._draws[-1].pool:
                self._draws.append(self._draws[-1].then(first, pool))

    def __call__(self, draws_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each draw the number of its pass, and what comes; int64 both."""
        number_N = np.searchsorted([draws.first for draws in self._draws], draws_N, side="right") - 1
        epoch_N, found_N = np.empty((2, len(draws_N)), dtype=np.int64)
        for number in np.unique(number_N).tolist():
            here = number_N == number
            epoch_N[here], found_N[here] = self._of(number, draws_N[here] - self._draws[number].first)
        return epoch_N, found_N

    @property
    def first_repeat(self) -> int:
        """The first draw of what has come before."""
        ends = [draws.first + draws.size for draws in self._draws]
        later = [draws.first for draws in self._draws[1:]]
        return next((end for end, then in zip(ends, later, strict=False) if end < then), ends[-1])

    @property
    def all_came(self) -> int:
        """How many draws it takes at most until everything has come."""
        return self._draws[-1].first + self._draws[-1].size

    def distinct(self, count: int) -> int:
        """How many different ones come in so many draws. In closed form but where a pool was used up and has grown
        since: there the draws are looked at."""
        if count >= self.all_came:
            return self._draws[-1].pool
        return count if count <= self.first_repeat else len(np.unique(self(np.arange(count))[1]))

    def _of(self, number: int, drawn_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of draws from one pool, counted from its first."""
        draws = self._draws[number]
        passes_N = np.maximum(0, (drawn_N - draws.size) // draws.pool + 1)
        found_N = np.empty_like(drawn_N)
        for passes in np.unique(passes_N).tolist():
            here = passes_N == passes
            key = f"{self.key}/{draws.epoch + passes}" + (f"/{number}" if number else "")
            if passes:
                start = draws.size + (passes - 1) * draws.pool
                found_N[here] = Permutation(draws.pool, key)(drawn_N[here] - start)
            else:
                found_N[here] = self._joined(number, Permutation(draws.size, key)(drawn_N[here]))
        return draws.epoch + passes_N, found_N

    def _joined(self, number: int, index_N: np.ndarray) -> np.ndarray:
        """What is left of a pass, by the draws that would have come, and behind it what the pool grew by."""
        if not number:
            return index_N
        draws, before = self._draws[number], self._draws[number - 1]
        found_N = index_N - draws.kept + before.pool
        left_N = index_N < draws.kept
        found_N[left_N] = self._of(number - 1, draws.behind + index_N[left_N])[1]
        return found_N


def quantise(weights: Sequence[float] | np.ndarray) -> np.ndarray:
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
