"""Byte-level byte-pair encoding, trained on the corpus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.config import option
from harness.interfaces.tokenizer import TokenizerConfig

if TYPE_CHECKING:
    from harness_plugins.tokenizer.bpe.bpe import BytePairTokenizer

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class BytePair(TokenizerConfig):
    """Sennrich et al. 2016, over bytes as in GPT-2, each digit a token of its own. Every text can be encoded."""

    size: int = option(512, "tokens: 256 bytes, the merges, and the end token", minimum=257, maximum=2**24)

    def vocabulary(self) -> int:
        return self.size

    def train(self, texts: Iterable[str]) -> BytePairTokenizer:
        from harness_plugins.tokenizer.bpe.bpe import train

        return train(texts, self.size)

    def load(self, folder: Path) -> BytePairTokenizer:
        from harness_plugins.tokenizer.bpe.bpe import BytePairTokenizer

        return BytePairTokenizer.load(folder, self.size)


@hookimpl
def register_tokenizer() -> dict[str, type]:
    return {"bpe": BytePair}
