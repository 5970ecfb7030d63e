"""Text as its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from harness.files import write_json
from harness.models.huggingface.tokenizer import END, write_tokenizer


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

    def export(self, folder: Path) -> None:
        """A byte-level BPE without merges. Its alphabet has a printable character for each byte: the byte's own, or one
        of those above 255, in order."""
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        own, others = [c for c in alphabet if ord(c) < 256], [c for c in alphabet if ord(c) >= 256]
        without = [byte for byte in range(256) if chr(byte) not in own]
        vocabulary = {c: ord(c) for c in own} | dict(zip(others, without, strict=True)) | {END: self.end}
        tokenizer = Tokenizer(models.BPE(vocabulary, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.decoder = decoders.ByteLevel()
        write_tokenizer(folder, tokenizer)
