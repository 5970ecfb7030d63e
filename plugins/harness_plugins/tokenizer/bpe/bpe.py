"""Byte-level BPE by the `tokenizers` library, kept in its own tokenizer.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from harness.data.subwords import LibraryTokenizer
from harness.models.huggingface.tokenizer import with_end, write_tokenizer


class BytePairTokenizer(LibraryTokenizer):
    """Words of bytes, merged as learned."""

    def export(self, folder: Path) -> None:
        write_tokenizer(folder, with_end(self.library, self.end))


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
