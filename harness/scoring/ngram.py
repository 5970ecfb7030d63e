"""Count-based language models: the honest baselines that a trained model has to beat.

Counts and probabilities are those of `harness.models.kneser_ney`, with the discounts that Chen & Goodman estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from harness.models.kneser_ney import KneserNey

Integers = NDArray[np.int64]
Floats = NDArray[np.floating]


class Codec(Protocol):
    """What a baseline needs of a tokenizer."""

    size: int
    end: int

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...


class NGram:
    """A model of the given order over tokens 0 … vocabulary − 1.

    tokens: (tokens,) integers. starts: where documents start; the first token starts one unless it is a seam.
    Contexts never reach over the start of a document, which is padded with a symbol that is itself never foretold.
    seams: where a piece begins in the middle of a document; an n-gram that would reach over one is not counted.
    """

    def __init__(
        self,
        tokens: Integers,
        order: int,
        vocabulary: int,
        starts: Integers | None = None,
        seams: Integers | None = None,
    ) -> None:
        assert len(tokens), "there is nothing to count"
        self.order, self.vocabulary, self.base = order, vocabulary, vocabulary + 1
        grams = self._grams(np.asarray(tokens), starts)
        if seams is not None and len(seams):
            grams = grams[self._with_context(len(tokens), starts, seams)]
            assert len(grams), "there is nothing to count"
        self.counted = KneserNey(order, vocabulary).requires_grad_(False)
        self.counted.add(torch.from_numpy(grams))

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

    def _with_context(self, tokens: int, starts: Integers | None, seams: Integers) -> NDArray[np.bool_]:
        """For each token whether a document's start, or order − 1 tokens, stand between it and the seam before it."""
        begins = np.union1d(np.union1d(0, [] if starts is None else starts), seams).astype(np.int64)
        place = np.arange(tokens)
        begin = begins[np.searchsorted(begins, place, side="right") - 1]
        return ~np.isin(begin, seams) | (place - begin >= self.order - 1)

    def _probabilities(self, grams: Integers) -> Floats:
        found: Floats = self.counted.probabilities(torch.from_numpy(grams)).numpy()
        return found


@dataclass(frozen=True)
class Baseline:
    """A count-based model of text. unit: token or byte, what it counts."""

    name: str
    unit: str
    model: NGram
    encode: Callable[[Sequence[str]], list[Integers]]

    def nats(self, texts: Sequence[str]) -> Floats:
        """−log p of each text from an empty context, without its end, as lm-eval's rolling log-likelihood does it:
        (texts,), nats."""
        encoded = self.encode(texts)
        starts = np.cumsum([0, *map(len, encoded)])[:-1]
        return -np.add.reduceat(self.model.log_probabilities(np.concatenate(encoded), starts), starts)


def baselines(pieces: Sequence[Integers], tokenizer: Codec) -> list[Baseline]:
    """Token unigram, token bigram, byte trigram and token trigram from the tokens that a model was trained on.

    pieces: each (tokens,), as they follow each other in a text, documents ended by `tokenizer.end`; a piece may begin
    and stop anywhere, and nothing is counted from one to the next.
    """
    as_bytes = [_piece_of_bytes(piece, tokenizer) for piece in pieces]

    def tokens(texts: Sequence[str]) -> list[Integers]:
        return [np.array(text, dtype=np.int64) for text in tokenizer.encode_all(texts)]

    def model(order: int) -> NGram:
        return _count(pieces, order, tokenizer.size, tokenizer.end)

    return [
        Baseline("token unigram", "token", model(1), tokens),
        Baseline("token bigram", "token", model(2), tokens),
        Baseline("byte trigram", "byte", _count(as_bytes, 3, END_BYTE + 1, END_BYTE), lambda t: list(map(_bytes, t))),
        Baseline("token trigram", "token", model(3), tokens),
    ]


def _count(pieces: Sequence[Integers], order: int, vocabulary: int, end: int) -> NGram:
    tokens = np.concatenate(pieces).astype(np.int64)
    seams = np.cumsum([0, *map(len, pieces)])[:-1]
    starts = np.setdiff1d(np.flatnonzero(tokens == end) + 1, seams)
    return NGram(tokens, order, vocabulary, starts, seams)


#: What ends a document for a model of bytes.
END_BYTE = 256


def _piece_of_bytes(piece: Integers, tokenizer: Codec) -> Integers:
    parts = np.split(piece, np.flatnonzero(piece == tokenizer.end) + 1)
    texts = [_bytes(tokenizer.decode(part[part != tokenizer.end].tolist())) for part in parts]
    return np.concatenate([texts[0], *(np.append(END_BYTE, text) for text in texts[1:])])


def _bytes(text: str) -> Integers:
    return np.frombuffer(text.encode("utf-8", errors="replace"), dtype=np.uint8).astype(np.int64)
