"""A unigram language model of pieces of words, asked by the `tokenizers` library, kept in its own tokenizer.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models

from harness.data.subwords import BYTES, LibraryTokenizer, alphabet, count_words, with_bytes, words_of_characters
from harness.models.huggingface.tokenizer import with_end, write_tokenizer
from harness_plugins.tokenizer.unigram.pieces import learn


class UnigramTokenizer(LibraryTokenizer):
    """The likeliest pieces of each word (Viterbi); what is no character of the vocabulary is said as its bytes."""

    def export(self, folder: Path) -> None:
        write_tokenizer(folder, with_end(self.library, self.end))


def train(texts: Iterable[str], size: int) -> UnigramTokenizer:
    """Learns with code of our own: the library's trainer sums in an order of chance, and two trainings differ."""
    words = count_words(texts)
    room = size - 1 - len(BYTES)
    pieces = learn(words, alphabet(words, most=room), room)
    # Unknown is what the library asks a number for, and never says: all bytes are known.
    library = Tokenizer(models.Unigram([(byte, 0.0) for byte in BYTES] + pieces, unk_id=0, byte_fallback=True))
    library.pre_tokenizer, library.decoder = words_of_characters(), with_bytes()
    return UnigramTokenizer(library, size)
