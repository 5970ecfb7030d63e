"""What tokenizers by the `tokenizers` library share: where words end, and how one is kept and asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers

from harness.errors import UserError
from harness.files import write_atomic

#: Every byte as a token, called as the library's fallback calls it.
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
#: Of a corpus's text so much is made of characters that are tokens; the others are said as bytes (SentencePiece).
COVERAGE = 0.9995

#: Letters, or other signs, with the space before them; or spaces: GPT-2's words, without its English contractions.
_WORDS = r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
#: Between such pieces of a text there always ends a word.
_PIECES = re.compile(r"\s*\S+|\s+$")


class LibraryTokenizer:
    """The end token is the last of `size` and unknown to the library: no text can contain it.

    A small corpus may fill fewer tokens than there is room for; those between are never used.
    """

    def __init__(self, library: Tokenizer, size: int) -> None:
        self.size, self.end = size, size - 1
        self.library = library

    @classmethod
    def load(cls, folder: Path, size: int) -> Self:
        """What `save` wrote. Raises UserError where it is damaged or has no room in `size`."""
        path = folder / "tokenizer.json"
        try:
            library = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise UserError(f"{path} cannot be read as a tokenizer: {error}.") from None
        if library.get_vocab_size() >= size:
            raise UserError(
                f"{path} has {library.get_vocab_size()} tokens; tokenizer.size={size} has no room for them."
            )
        return cls(library, size)

    def encode(self, text: str) -> list[int]:
        return self.library.encode(text).ids

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.library.encode_batch_fast(list(texts))]

    def decode(self, tokens: Sequence[int]) -> str:
        """Tokens that stand for no text are passed over; bytes that are no UTF-8 become U+FFFD."""
        return self.library.decode([token for token in tokens if token != self.end])

    def save(self, folder: Path) -> None:
        write_atomic(folder / "tokenizer.json", self.library.to_str(pretty=True))


def words_of_characters() -> Any:
    """Splits a text into words, and digits from each other and from all else. No word can spell one of `BYTES`."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    return pre_tokenizers.Sequence([digits, pre_tokenizers.Split(Regex(_WORDS), "isolated")])


def with_bytes() -> Any:
    """Puts characters together, also of `BYTES`."""
    return decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word stands in the texts."""
    pieces: Counter[str] = Counter()
    for text in texts:
        pieces.update(_PIECES.findall(text))
    split, words = words_of_characters(), Counter[str]()
    for piece, count in pieces.items():
        for word, _ in split.pre_tokenize_str(piece):
            words[word] += count
    return words


def alphabet(words: Counter[str], most: int) -> list[str]:
    """The most frequent characters, in that order, that make `COVERAGE` of all text; of equals the smaller first."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    needed, found = COVERAGE * counts.total(), []
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]:
        if needed <= 0:
            break
        found.append(character)
        needed -= count
    return found
