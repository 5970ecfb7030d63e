"""Tokenizers: text to tokens and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from harness.config import PluginConfig, to_mapping


class Tokenizer(Protocol):
    """What `TokenizerConfig.train` and `TokenizerConfig.load` return. ``decode(encode(text)) == text`` wherever
    the vocabulary covers the text.

    One may have more, which scoring and export ask for. ``start``: the token that stands before an empty context, where
    it is not the end; ``opening``: tokens that stand before every other context; ``export(folder)``: writes what
    `transformers.AutoTokenizer` opens and encodes alike; ``chat(turns, asks) → text``: a conversation as its chat
    template writes it, with what asks for an answer behind it or without.
    """

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

    def fingerprint(self) -> str:
        """What determines its vocabulary beside the corpus: its options, and the content of what it is read from."""
        return json.dumps({**to_mapping(self), "results_version": self.results_version}, sort_keys=True)

    def of_run(self, folder: Path) -> Self:
        """The same config where what it is read from may be gone, and `folder` holds what `save` wrote."""
        return self

    def train(self, texts: Iterable[str]) -> Any:
        """A tokenizer for these documents, the same for the same documents in the same order."""
        raise NotImplementedError

    def load(self, folder: Path) -> Any:
        """What `save` wrote."""
        raise NotImplementedError
