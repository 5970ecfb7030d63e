"""A corpus of each form and an alignment, so small that chains of runs can be planned and trained in tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.config import option
from harness.data.cache import digest
from harness.interfaces.corpus import (
    CONVERSATIONS,
    DOCUMENTS,
    PREFERENCES,
    PROMPTS,
    CorpusConfig,
    Document,
    Turn,
    example,
)
from harness.interfaces.method import AlignmentConfig, Setting
from harness.interfaces.reward import RewardConfig


@dataclass(kw_only=True)
class Toy(CorpusConfig):
    """Sums of small numbers as text, asked and answered, answered well and badly, or asked alone."""

    holds: str = option(DOCUMENTS, choices=(DOCUMENTS, CONVERSATIONS, PREFERENCES, PROMPTS))
    count: int = option(200)

    def form(self) -> str:
        return self.holds

    def fingerprint(self) -> str:
        return digest([self.holds, self.count])

    def build(self) -> Toy:
        return self

    def __len__(self) -> int:
        return self.count

    def read(self, start: int, stop: int) -> Iterator[Document]:
        for i in range(start, stop):
            prompt, answer = f"{i}+{i + 1}=", str(2 * i + 1)
            ask, say = Turn("user", prompt), Turn("assistant", answer)
            if self.holds == DOCUMENTS:
                yield Document(f"{prompt}{answer}. " * 4, f"toy:{i}")
            elif self.holds == CONVERSATIONS:
                yield example(f"toy:{i}", [ask, say])
            elif self.holds == PREFERENCES:
                yield example(f"toy:{i}", [ask], [answer, "none"])
            else:
                yield example(f"toy:{i}", [ask], fields={"answer": answer})


@dataclass(kw_only=True)
class ToyAlignment(AlignmentConfig):
    """It leans on a reference, and can be planned only."""

    reads: ClassVar[str] = PREFERENCES
    leans_on: ClassVar[tuple[str, ...]] = ("reference",)
    beta: float = option(0.1)

    def rows(self) -> int:
        return 2

    def build(self, setting: Setting) -> Any:
        raise NotImplementedError


@dataclass(kw_only=True)
class Digits(RewardConfig):
    """The share of the completion that is digits."""

    def build(self, tokenizer: Any) -> Any:
        return lambda prompt, completion, fields: sum(c.isdigit() for c in completion) / max(1, len(completion))
