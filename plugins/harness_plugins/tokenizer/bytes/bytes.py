"""Text as its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.rundir import write_json


class ByteTokenizer:
    """Tokens 0 … 255 are bytes, 256 is the end."""

    size = 257
    end = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        """End tokens are passed over; bytes that are no UTF-8 become U+FFFD."""
        return bytes(token for token in tokens if token < 256).decode(errors="replace")

    def save(self, folder: Path) -> None:
        write_json(folder / "tokenizer.json", {"tokenizer": "bytes"})
