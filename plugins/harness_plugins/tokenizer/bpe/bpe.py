"""Byte-level BPE by the `tokenizers` library, kept in its own tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from harness.errors import UserError
from harness.files import write_atomic
from harness.models.huggingface.tokenizer import END, write_tokenizer


class BytePairTokenizer:
    """The end token is the last of `size` and unknown to the library: no text can contain it.

    A small corpus may have fewer merges than there is room for; the tokens between are never used.
    """

    def __init__(self, tokenizer: Tokenizer, size: int) -> None:
        self.size, self.end = size, size - 1
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def decode(self, tokens: Sequence[int]) -> str:
        """Tokens that stand for no text are passed over; bytes that are no UTF-8 become U+FFFD."""
        return self._tokenizer.decode([token for token in tokens if token != self.end])

    def save(self, folder: Path) -> None:
        write_atomic(folder / "tokenizer.json", self._tokenizer.to_str(pretty=True))

    def export(self, folder: Path) -> None:
        """The end token gets its number as a word of the vocabulary that no merge leads to."""
        content = json.loads(self._tokenizer.to_str())
        content["model"]["vocab"][END] = self.end
        write_tokenizer(folder, Tokenizer.from_str(json.dumps(content)))


def train(texts: Iterable[str], size: int) -> BytePairTokenizer:
    """Merges the most frequent pairs; among equals the pair of smaller tokens, so that the order is fixed."""
    tokenizer = Tokenizer(models.BPE())
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size - 1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return BytePairTokenizer(tokenizer, size)


def load(folder: Path, size: int) -> BytePairTokenizer:
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{path} cannot be read as a tokenizer: {error}.") from None
    if tokenizer.get_vocab_size() >= size:
        raise UserError(f"{path} has {tokenizer.get_vocab_size()} tokens; tokenizer.size={size} has no room for them.")
    return BytePairTokenizer(tokenizer, size)
