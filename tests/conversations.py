"""Conversations for tests: a corpus to register where it is asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness.config import option
from harness.data.cache import digest
from harness.interfaces.corpus import CONVERSATIONS, CorpusConfig, Document, Turn, example
from harness.registry import Entry, registry

WORDS = ["alpha", "beta", "gamma", "delta", "eps"]


@dataclass(kw_only=True)
class Talks(CorpusConfig):
    """Conversations of one to three questions, each answered with its first word; every fourth has a system's turn."""

    conversations: int = option(60, "how many", minimum=1)

    def form(self) -> str:
        return CONVERSATIONS

    def fingerprint(self) -> str:
        return digest([document.text for document in self.read(0, len(self))])

    def build(self) -> Talks:
        return self

    def __len__(self) -> int:
        return self.conversations

    def read(self, start: int, stop: int) -> Iterator[Document]:
        for number in range(start, stop):
            yield example(f"talks:{number}", self._turns(number, random.Random(number)))

    def _turns(self, number: int, rng: random.Random) -> list[Turn]:
        turns = [Turn("system", "be brief")] if number % 4 == 0 else []
        for _ in range(rng.randint(1, 3)):
            words = rng.choices(WORDS, k=rng.randint(1, 3))
            turns += [Turn("user", f"{number} {' '.join(words)}?"), Turn("assistant", words[0])]
        return turns


def register(patch: pytest.MonkeyPatch) -> None:
    """Makes ``corpus=talks`` known until the patch is undone."""
    patch.setitem(registry().entries, ("corpus", "talks"), [Entry("corpus", "talks", Talks, "tests", "0")])
