"""Each byte of UTF-8 is a token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.interfaces.tokenizer import TokenizerConfig

if TYPE_CHECKING:
    from harness_plugins.tokenizer.bytes.bytes import ByteTokenizer

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class Bytes(TokenizerConfig):
    """256 bytes and the end token. No options."""

    def needs_training(self) -> bool:
        return False

    def vocabulary(self) -> int:
        return 257

    def train(self, texts: Iterable[str]) -> ByteTokenizer:
        from harness_plugins.tokenizer.bytes.bytes import ByteTokenizer

        return ByteTokenizer()

    def load(self, folder: Path) -> ByteTokenizer:
        return self.train(())


@hookimpl
def register_tokenizer() -> dict[str, type]:
    return {"bytes": Bytes}
