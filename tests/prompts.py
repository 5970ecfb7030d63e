"""Prompts for tests: a corpus and rewards to register where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from harness.config import option
from harness.data.cache import digest
from harness.interfaces.corpus import PROMPTS, CorpusConfig, Document, Turn, example
from harness.interfaces.reward import RewardConfig
from harness.registry import Entry, registry

WORDS = ["alpha", "beta", "gamma", "delta", "eps"]


@dataclass(kw_only=True)
class Asks(CorpusConfig):
    """Prompts of one or two words, which ask for a letter: their field `wanted`."""

    prompts: int = option(60, "how many", minimum=1)

    def form(self) -> str:
        return PROMPTS

    def fingerprint(self) -> str:
        return digest([document.text for document in self.read(0, len(self))])

    def build(self) -> Asks:
        return self

    def __len__(self) -> int:
        return self.prompts

    def read(self, start: int, stop: int) -> Iterator[Document]:
        for number in range(start, stop):
            text = " ".join(f"{WORDS[(number + i) % len(WORDS)]}{number}" for i in range(1 + number % 2))
            yield example(f"asks:{number}", [Turn("user", text)], fields={"wanted": WORDS[number % len(WORDS)][0]})


@dataclass(kw_only=True)
class LettersConfig(RewardConfig):
    """The share of the completion's characters that are ASCII letters, and the wanted one twice as good."""

    def build(self, tokenizer: Any) -> Any:
        return letters


def letters(prompt: str, completion: str, fields: Mapping[str, Any]) -> float:
    assert prompt.split(" ")[0].rstrip("0123456789")[0] == fields["wanted"]
    good = sum(c.isascii() and c.isalpha() for c in completion) + completion.count(fields["wanted"])
    return good / max(1, len(completion))


@dataclass(kw_only=True)
class ConstantConfig(RewardConfig):
    """Always the same."""

    def build(self, tokenizer: Any) -> Any:
        return lambda prompt, completion, fields: 0.1


def register(patch: pytest.MonkeyPatch) -> None:
    """Makes ``corpus=asks`` and ``alignment/reward=letters|constant`` known until the patch is undone."""
    for kind, name, config in (
        ("corpus", "asks", Asks),
        ("reward", "letters", LettersConfig),
        ("reward", "constant", ConstantConfig),
    ):
        patch.setitem(registry().entries, (kind, name), [Entry(kind, name, config, "tests", "0")])
