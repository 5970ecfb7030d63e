"""Pieces of words, the longest first, trained on the corpus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.config import option
from harness.interfaces.tokenizer import TokenizerConfig

if TYPE_CHECKING:
    from harness_plugins.tokenizer.wordpiece.wordpiece import WordPieceTokenizer

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class WordPiece(TokenizerConfig):
    """Schuster and Nakajima 2012, as in BERT: of what is left of a word the longest known piece, over bytes. Every text
    can be encoded."""

    size: int = option(
        1024,
        "tokens: 256 bytes that begin a word, 256 that go on, the longer pieces, and the end token",
        minimum=514,
        maximum=2**24,
    )

    def vocabulary(self) -> int:
        return self.size

    def train(self, texts: Iterable[str]) -> WordPieceTokenizer:
        from harness_plugins.tokenizer.wordpiece.wordpiece import train

        return train(texts, self.size)

    def load(self, folder: Path) -> WordPieceTokenizer:
        from harness_plugins.tokenizer.wordpiece.wordpiece import WordPieceTokenizer

        return WordPieceTokenizer.load(folder, self.size)


@hookimpl
def register_tokenizer() -> dict[str, type]:
    return {"wordpiece": WordPiece}
