"""Text as half bytes: sixteen tokens and the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import hookimpl
from harness.interfaces.tokenizer import TokenizerConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(TokenizerConfig):
    """The two hexadecimal digits of each byte of UTF-8, and the end token. No options."""

    def needs_training(self) -> bool:
        return False

    def vocabulary(self) -> int:
        return MineTokenizer.size

    def train(self, texts: Iterable[str]) -> MineTokenizer:
        return MineTokenizer()

    def load(self, folder: Path) -> MineTokenizer:
        return MineTokenizer()


class MineTokenizer:
    """Tokens 0 … 15 are digits, 16 is the end."""

    size, end = 17, 16

    def encode(self, text: str) -> list[int]:
        return [int(digit, 16) for digit in text.encode().hex()]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        """End tokens are passed over, as is a last digit that is alone; what is no UTF-8 becomes U+FFFD."""
        digits = "".join(f"{token:x}" for token in tokens if token != self.end)
        return bytes.fromhex(digits[: len(digits) // 2 * 2]).decode(errors="replace")

    def save(self, folder: Path) -> None:
        """What `load` needs; here only what it is."""
        from harness.files import write_json

        write_json(folder / "tokenizer.json", {"tokenizer": "mine"})


@hookimpl
def register_tokenizer() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.tokenizer.conf"]
