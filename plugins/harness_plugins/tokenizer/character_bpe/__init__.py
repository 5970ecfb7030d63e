"""Byte-pair encoding over characters, trained on the corpus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.config import option
from harness.interfaces.tokenizer import TokenizerConfig

if TYPE_CHECKING:
    from harness_plugins.tokenizer.character_bpe.character_bpe import CharacterBytePairTokenizer

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class CharacterBytePair(TokenizerConfig):
    """Sennrich et al. 2016, over characters, and bytes for rare ones, each digit a token of its own. Every text can be
    encoded."""

    size: int = option(1024, "tokens: 256 bytes, characters, the merges, and the end token", minimum=258, maximum=2**24)

    def vocabulary(self) -> int:
        return self.size

    def train(self, texts: Iterable[str]) -> CharacterBytePairTokenizer:
        from harness_plugins.tokenizer.character_bpe.character_bpe import train

        return train(texts, self.size)

    def load(self, folder: Path) -> CharacterBytePairTokenizer:
        from harness_plugins.tokenizer.character_bpe.character_bpe import CharacterBytePairTokenizer

        return CharacterBytePairTokenizer.load(folder, self.size)


@hookimpl
def register_tokenizer() -> dict[str, type]:
    return {"character_bpe": CharacterBytePair}
