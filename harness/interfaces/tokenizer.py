"""Tokenizers: text to tokens and back."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
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
    template writes it, with what asks for an answer behind it or without; ``begins_word(token) → bool``, where words
    begin otherwise than with a space in the token's text; ``decoder_start``: as `decoder_start` says.
    """

    size: int  #: tokens in the vocabulary, special ones included
    end: int  #: the token that ends a document, and that stands before an empty context

    def encode(self, text: str) -> list[int]: ...

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...

    def save(self, folder: Path) -> None: ...


def decoder_start(tokenizer: Tokenizer) -> int:
    """The token that stands before all that the decoder of an encoder–decoder writes: the end, where the tokenizer says
    no other, as T5's does."""
    start: int = getattr(tokenizer, "decoder_start", tokenizer.end)
    return start


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

    def special(self, name: str) -> int | None:
        """The number of a token of its own that stands for no text, such as ``[MASK]``; None: it has none of the name,
        as all have that know text and the end alone."""
        return None

    def of_run(self, folder: Path) -> Self:
        """The same config where what it is read from may be gone, and `folder` holds what `save` wrote."""
        return self

    def train(self, texts: Iterable[str]) -> Any:
        """A tokenizer for these documents, the same for the same documents in the same order."""
        raise NotImplementedError

    def load(self, folder: Path) -> Any:
        """What `save` wrote."""
        raise NotImplementedError


def extra_tokens(tokenizer: TokenizerConfig, size: int, names: Sequence[str]) -> dict[str, int]:
    """The numbers of a method's own tokens: the tokenizer's, where it has such a token, and otherwise those behind the
    `size` tokens of its vocabulary, in order."""
    behind = itertools.count(size)
    known = {name: tokenizer.special(name) for name in names}
    return {name: next(behind) if token is None else token for name, token in known.items()}


def vocabulary_with(size: int, extra: Mapping[str, int]) -> int:
    """Tokens of a model that knows a tokenizer's `size` and a method's own."""
    return max([size, *(token + 1 for token in extra.values())])
