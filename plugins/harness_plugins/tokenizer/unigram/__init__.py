"""Pieces of words with probabilities, trained on the corpus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.config import option
from harness.interfaces.tokenizer import TokenizerConfig

if TYPE_CHECKING:
    from harness_plugins.tokenizer.unigram.unigram import UnigramTokenizer

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class Unigram(TokenizerConfig):
    """Kudo 2018, as in SentencePiece: the likeliest pieces of each word, and bytes for rare characters. Every text can
    be encoded."""

    size: int = option(
        1024, "tokens: 256 bytes, characters, longer pieces, and the end token", minimum=258, maximum=2**24
    )

    def vocabulary(self) -> int:
        return self.size

    def train(self, texts: Iterable[str]) -> UnigramTokenizer:
        from harness_plugins.tokenizer.unigram.unigram import train

        return train(texts, self.size)

    def load(self, folder: Path) -> UnigramTokenizer:
        from harness_plugins.tokenizer.unigram.unigram import UnigramTokenizer

        return UnigramTokenizer.load(folder, self.size)


@hookimpl
def register_tokenizer() -> dict[str, type]:
    return {"unigram": Unigram}
