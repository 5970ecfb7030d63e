"""Learns a unigram language model of pieces by expectation maximisation (Kudo 2018, "Subword Regularization", §3.2).

Arrays: N words of one length, L characters; K lengths of a piece; P pieces.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

#: Characters in a piece at most; pieces at the start for each that is wanted; what is kept of them each time. All three
#: are SentencePiece's.
LONGEST, SEEDS, KEPT = 16, 10, 0.75
#: Rounds of EM before each pruning.
ROUNDS = 2
#: Places behind the point of all that is compared: equals must be equal on every machine.
DIGITS = 6


def learn(words: Mapping[str, int], alphabet: Sequence[str], room: int) -> list[tuple[str, float]]:
    """`room` pieces at most with their log-probabilities, in nats: all of the alphabet, and what the
    words are made of best.

    words: how often each stands in the text.
    """
    known = set(alphabet)
    counts = Counter({word: n for word, n in sorted(words.items()) if known.issuperset(word)})
    pieces = [*alphabet, *_seeds(counts, SEEDS * room)]
    lattices = _lattices(counts, pieces)
    own = _lattices(dict.fromkeys(pieces, 1), pieces)
    singles = np.arange(len(pieces)) < len(alphabet)
    logp_P = _log_shares(_substrings(counts, pieces), singles, singles | True)
    kept_P = np.ones(len(pieces), dtype=bool)
    while True:
        for _ in range(ROUNDS):
            expected_P = sum((one.expected(logp_P) for one in lattices), np.zeros(len(pieces)))
            logp_P = _log_shares(expected_P, singles, kept_P)
        if kept_P.sum() <= room:
            break
        kept_P = _pruned(logp_P, expected_P, own, kept_P, singles, max(room, int(KEPT * kept_P.sum())))
        logp_P = np.where(kept_P, logp_P, -np.inf)
    order = sorted(np.flatnonzero(kept_P), key=lambda p: (-round(float(logp_P[p]), DIGITS), pieces[p]))
    return [(pieces[p], round(float(logp_P[p]), DIGITS)) for p in order]


def _seeds(words: Mapping[str, int], most: int) -> list[str]:
    """Substrings of several characters that stand there more than once, those that cover the most text first."""
    counts: Counter[str] = Counter()
    for word, n in words.items():
        for start in range(len(word)):
            for stop in range(start + 2, min(len(word), start + LONGEST) + 1):
                counts[word[start:stop]] += n
    repeated = ((piece, n * len(piece)) for piece, n in counts.items() if n > 1)
    return [piece for piece, _ in sorted(repeated, key=lambda item: (-item[1], item[0]))[:most]]


def _substrings(words: Mapping[str, int], pieces: Sequence[str]) -> np.ndarray:
    """How often each piece stands in the words, overlapping."""
    numbers = {piece: number for number, piece in enumerate(pieces)}
    counts_P = np.zeros(len(pieces))
    for word, n in words.items():
        for start in range(len(word)):
            for stop in range(start + 1, min(len(word), start + LONGEST) + 1):
                if (number := numbers.get(word[start:stop])) is not None:
                    counts_P[number] += n
    return counts_P


def _log_shares(counts_P: np.ndarray, singles_P: np.ndarray, kept_P: np.ndarray) -> np.ndarray:
    """Characters are always possible: without them words could not be said."""
    floored_P = np.where(singles_P, np.maximum(counts_P, 0.5), counts_P) * kept_P
    with np.errstate(divide="ignore"):
        logp_P: np.ndarray = np.log(floored_P) - math.log(max(floored_P.sum(), 1.0))
    return logp_P


def _pruned(
    logp_P: np.ndarray,
    expected_P: np.ndarray,
    own: Sequence[Lattice],
    kept_P: np.ndarray,
    singles_P: np.ndarray,
    keep: int,
) -> np.ndarray:
    """The characters and the pieces without which the text would lose the most: how often a piece is expected times
    what its next best segmentation costs, in nats."""
    next_P = np.zeros(len(logp_P))
    for lattice in own:
        next_P[lattice.whole_N] = lattice.best_without_whole(logp_P)
    with np.errstate(invalid="ignore"):
        loss_P = np.where(expected_P > 0, expected_P * (logp_P - next_P), 0.0)
    loss_P = np.where(singles_P, np.inf, np.where(kept_P, np.round(loss_P, DIGITS), -np.inf))
    kept = np.zeros(len(logp_P), dtype=bool)
    kept[np.argsort(-loss_P, kind="stable")[:keep]] = True  # of equals those that cover more text
    return kept & kept_P


class Lattice:
    """All segmentations of N words of length L. pieces_NLK: the number of the piece that ends at a place and is k + 1
    characters long; P: there is none. counts_N: how often each word stands in the text."""

    def __init__(self, pieces_NLK: np.ndarray, counts_N: np.ndarray) -> None:
        self.pieces_NLK, self.counts_N = pieces_NLK, counts_N

    @property
    def whole_N(self) -> np.ndarray:
        """The pieces that are whole words; of words that are no longer than pieces."""
        whole_N: np.ndarray = self.pieces_NLK[:, -1, -1]
        return whole_N

    def expected(self, logp_P: np.ndarray) -> np.ndarray:
        """How often each piece is expected in the text (forward–backward)."""
        arcs_NLK = np.append(logp_P, -np.inf)[self.pieces_NLK]
        words, length, widths = arcs_NLK.shape
        before_NL, after_NL = np.full((2, words, length + 1), -np.inf)
        before_NL[:, 0] = after_NL[:, length] = 0.0
        for end in range(1, length + 1):
            k = min(end, widths)
            before_NL[:, end] = _logsumexp(before_NL[:, end - k : end][:, ::-1] + arcs_NLK[:, end - 1, :k])
        for start in range(length - 1, -1, -1):
            k = np.arange(min(length - start, widths))
            after_NL[:, start] = _logsumexp(after_NL[:, start + 1 + k] + arcs_NLK[:, start + k, k])
        sums_P = np.zeros(len(logp_P) + 1)
        for end in range(1, length + 1):
            k = min(end, widths)
            through_NK = before_NL[:, end - k : end][:, ::-1] + arcs_NLK[:, end - 1, :k] + after_NL[:, [end]]
            share_NK = np.exp(through_NK - before_NL[:, [length]]) * self.counts_N[:, None]
            sums_P += np.bincount(self.pieces_NLK[:, end - 1, :k].ravel(), share_NK.ravel(), len(sums_P))
        return sums_P[:-1]

    def best_without_whole(self, logp_P: np.ndarray) -> np.ndarray:
        """The log-probability of each word's likeliest segmentation but that of one piece (Viterbi)."""
        arcs_NLK = np.append(logp_P, -np.inf)[self.pieces_NLK]
        words, length, widths = arcs_NLK.shape
        if length <= widths:
            arcs_NLK[:, length - 1, length - 1] = -np.inf
        best_NL = np.full((words, length + 1), -np.inf)
        best_NL[:, 0] = 0.0
        for end in range(1, length + 1):
            k = min(end, widths)
            best_NL[:, end] = (best_NL[:, end - k : end][:, ::-1] + arcs_NLK[:, end - 1, :k]).max(axis=1)
        last_N: np.ndarray = best_NL[:, length]
        return last_N


def _lattices(words: Mapping[str, int], pieces: Sequence[str]) -> list[Lattice]:
    """One for each length."""
    numbers = {piece: number for number, piece in enumerate(pieces)}
    by_length: dict[int, list[str]] = defaultdict(list)
    for word in words:
        by_length[len(word)].append(word)
    found = []
    for length, group in sorted(by_length.items()):
        pieces_NLK = np.full((len(group), length, min(length, LONGEST)), len(pieces), dtype=np.int32)
        for of_word, word in zip(pieces_NLK, group, strict=True):
            for end in range(1, length + 1):
                for k in range(min(end, LONGEST)):
                    if (number := numbers.get(word[end - k - 1 : end])) is not None:
                        of_word[end - 1, k] = number
        found.append(Lattice(pieces_NLK, np.array([words[word] for word in group], dtype=np.float64)))
    return found


def _logsumexp(values_NK: np.ndarray) -> np.ndarray:
    largest_N1 = values_NK.max(axis=1, keepdims=True)
    sums_N: np.ndarray = np.log(np.exp(values_NK - largest_N1).sum(axis=1)) + largest_N1[:, 0]
    return sums_N
