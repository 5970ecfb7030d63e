"""Tokenizers: text to tokens and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.config import PluginConfig


class Tokenizer(Protocol):
    """What `TokenizerConfig.train` and `TokenizerConfig.load` return. ``decode(encode(text)) == text`` wherever
    the vocabulary covers the text."""

    size: int  #: tokens in the vocabulary, special ones included
    end: int  #: the token that ends a document, and that stands before an empty context

    def encode(self, text: str) -> list[int]: ...

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...

    def save(self, folder: Path) -> None: ...


@dataclass(kw_only=True)
class TokenizerConfig(PluginConfig):
    """Base of every tokenizer's Config."""

    def needs_training(self) -> bool:
        """Whether its vocabulary depends on the corpus."""
        return True

    def vocabulary(self) -> int | None:
        """The size that is known without training; None: only after it."""
        return None

    def train(self, texts: Iterable[str]) -> Any:
        """A tokenizer for these documents, the same for the same documents in the same order."""
        raise NotImplementedError

    def load(self, folder: Path) -> Any:
        """What `save` wrote."""
        raise NotImplementedError
