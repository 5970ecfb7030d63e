"""Count-based language models: the honest baselines that a trained model has to beat.

Interpolated Kneser–Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999, eq. 24–27) with one absolute
discount for each order. The counts are sorted arrays of packed n-grams; nothing loops over tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.floating]


class Codec(Protocol):
    """What a baseline needs of a tokenizer."""

    size: int
    end: int

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class _Level:
    """The n-grams of one order. Each context's n-grams lie side by side, since the keys are sorted."""

    keys: Integers  #: distinct n-grams, packed in base vocabulary + 1
    discounted: Floats  #: count − discount of each
    contexts: Integers  #: distinct contexts, packed
    total: Floats  #: counts of each context
    freed: Floats  #: what the discount took from each context's counts

    @classmethod
    def of(cls, keys: Integers, counts: Integers, base: int) -> _Level:
        contexts, first, types = np.unique(keys // base, return_index=True, return_counts=True)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once and twice else 0.5
        total = np.add.reduceat(counts, first).astype(np.float64)
        return cls(keys, counts - discount, contexts, total, discount * types)


class NGram:
    """A model of the given order over tokens 0 … vocabulary − 1.

    tokens: (tokens,) integers. starts: where documents start; the first token always starts one. Contexts never
    reach over the start of a document, which is padded with a symbol that is itself never foretold.
    """

    def __init__(self, tokens: Integers, order: int, vocabulary: int, starts: Integers | None = None) -> None:
        assert order >= 1
        assert (vocabulary + 1) ** order < 2**63, "an n-gram has to fit into 64 bits"
        assert len(tokens), "there is nothing to count"
        self.order, self.vocabulary, self.base = order, vocabulary, vocabulary + 1
        grams = self._grams(np.asarray(tokens), starts)
        keys, counts = np.unique(grams, return_counts=True)
        levels = [_Level.of(keys, counts, self.base)]
        for length in range(order - 1, 0, -1):
            # A shorter n-gram counts once for each distinct token that stood before it, not once for each time.
            keys, counts = np.unique(keys % self.base**length, return_counts=True)
            levels.append(_Level.of(keys, counts, self.base))
        self._levels = levels[::-1]

    def log_probabilities(self, tokens: Integers, starts: Integers | None = None) -> Floats:
        """The log probability of each token after those before it in its document: (tokens,), nats."""
        return np.log(self._probabilities(self._grams(np.asarray(tokens), starts)))

    def distribution(self, context: Sequence[int]) -> Floats:
        """The probabilities of all tokens after a context that starts a document, or is long enough: (vocabulary,)."""
        tokens = np.array([*context, 0], dtype=np.int64)
        return self._probabilities(self._grams(tokens, None)[-1] + np.arange(self.vocabulary))

    def _grams(self, tokens: Integers, starts: Integers | None) -> Integers:
        """The n-gram that ends with each token, packed, the oldest token first."""
        padding, first = self.order - 1, np.union1d(0, np.asarray([] if starts is None else starts)).astype(np.int64)
        first = first[first < len(tokens)]
        padded = np.insert(tokens.astype(np.int64), np.repeat(first, padding), self.vocabulary)
        grams = np.zeros(len(padded) - padding, np.int64)
        for offset in range(self.order):
            grams = grams * self.base + padded[offset : offset + len(grams)]
        return grams[padded[padding:] != self.vocabulary]

    def _probabilities(self, grams: Integers) -> Floats:
        probability = np.full(len(grams), 1 / self.vocabulary)
        for length, level in enumerate(self._levels, start=1):
            keys = grams % self.base**length
            at, known = _find(level.contexts, keys // self.base)
            place, seen = _find(level.keys, keys)
            count = np.where(seen, level.discounted[place], 0.0)
            mixed = (count + level.freed[at] * probability) / level.total[at]
            probability = np.where(known, mixed, probability)
        return probability


def _find(values: Integers, wanted: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Where each wanted value stands among the sorted values, and whether it does."""
    place = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return place, values[place] == wanted


@dataclass(frozen=True)
class Baseline:
    """A count-based model on held-out documents. nats: for each of its own tokens (bytes, for a byte model)."""

    name: str
    nats: float
    bits_per_byte: float


def baselines(tokens: Integers, held_out: Sequence[str], tokenizer: Codec) -> list[Baseline]:
    """Token bigram, byte trigram and token trigram from the tokens that a model was trained on.

    tokens: (tokens,), documents ended by `tokenizer.end`. held_out: documents, scored without their end, each
    from an empty context, as lm-eval's rolling log-likelihood does it.
    """
    tokens = np.asarray(tokens, dtype=np.int64)
    encoded = [np.array(document, dtype=np.int64) for document in tokenizer.encode_all(held_out)]
    texts = [tokenizer.decode(document.tolist()) for document in _documents(tokens, tokenizer.end)]
    end = 256
    train_bytes = np.concatenate([np.append(_bytes(text), end) for text in texts])
    held_bytes = [_bytes(text) for text in held_out]
    size = sum(map(len, held_bytes))
    return [
        _baseline("token bigram", 2, tokens, tokenizer.end, tokenizer.size, encoded, size),
        _baseline("byte trigram", 3, train_bytes, end, end + 1, held_bytes, size),
        _baseline("token trigram", 3, tokens, tokenizer.end, tokenizer.size, encoded, size),
    ]


def _baseline(
    name: str, order: int, tokens: Integers, end: int, vocabulary: int, held_out: list[Integers], size: int
) -> Baseline:
    model = NGram(tokens, order, vocabulary, starts=np.flatnonzero(tokens == end) + 1)
    lengths = np.array([len(document) for document in held_out])
    nats = -model.log_probabilities(np.concatenate(held_out), starts=np.cumsum(lengths) - lengths).sum()
    return Baseline(name, float(nats / lengths.sum()), float(nats / np.log(2) / size))


def _documents(tokens: Integers, end: int) -> list[Integers]:
    """The documents without their ends; the last may have been cut."""
    return [part[part != end] for part in np.split(tokens, np.flatnonzero(tokens == end) + 1) if len(part)]


def _bytes(text: str) -> Integers:
    return np.frombuffer(text.encode("utf-8", errors="replace"), dtype=np.uint8).astype(np.int64)
