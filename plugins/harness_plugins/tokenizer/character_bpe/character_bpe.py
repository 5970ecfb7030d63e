"""BPE over characters by the `tokenizers` library, kept in its own tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, trainers

from harness.data.subwords import BYTES, LibraryTokenizer, alphabet, count_words, with_bytes, words_of_characters
from harness.models.huggingface.tokenizer import with_end, write_tokenizer


class CharacterBytePairTokenizer(LibraryTokenizer):
    """Words of characters, merged as learned; what is no character of the vocabulary is said as its bytes."""

    def export(self, folder: Path) -> None:
        write_tokenizer(folder, with_end(self.library, self.end))


def train(texts: Iterable[str], size: int) -> CharacterBytePairTokenizer:
    """Merges the most frequent pairs; among equals the pair of smaller tokens, so that the order is fixed."""
    texts = list(texts)
    characters = alphabet(count_words(texts), most=size - 1 - len(BYTES))
    library = Tokenizer(models.BPE())
    library.pre_tokenizer, library.decoder = words_of_characters(), with_bytes()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        special_tokens=BYTES,
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    content = json.loads(library.to_str())
    content["added_tokens"] = []  # a text that spells a byte's name is a text
    content["model"]["byte_fallback"] = True
    return CharacterBytePairTokenizer(Tokenizer.from_str(json.dumps(content)), size)
