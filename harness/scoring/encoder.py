"""Text to tokens, each text once: what lets a ladder of models share its tokenised requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self


class Written(str):
    """A text that was written as tokens already: requests for it are asked as these, and it is never tokenised."""

    tokens: list[int]

    @classmethod
    def of(cls, tokens: Sequence[int], tokenizer: Any) -> Self:
        text = cls(tokenizer.decode([token for token in tokens if token != tokenizer.end]))
        text.tokens = list(tokens)
        return text


class Compared(str):
    """A text whose likelihood is compared with another's: each token of it is asked for, whatever that costs."""


class Encoder:
    """A tokenizer that remembers."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    @property
    def end(self) -> int:
        return self.tokenizer.end

    @property
    def start(self) -> int:
        """The token that stands before an empty context."""
        return getattr(self.tokenizer, "start", self.end)

    @property
    def opening(self) -> list[int]:
        """Tokens that stand before every other context."""
        return getattr(self.tokenizer, "opening", [])

    def encode(self, text: str) -> list[int]:
        """The caller must not change the list."""
        if isinstance(text, Written):
            return text.tokens
        if text not in self._known:
            self._known[text] = self.tokenizer.encode(text)
        return self._known[text]

    def encode_ahead(self, texts: Iterable[str]) -> None:
        """Encodes many texts in one call of the tokenizer."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self.tokenizer.encode_all(new), strict=True))

    def decode(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens)
