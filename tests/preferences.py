"""Preferences for tests: a corpus to register where it is asked for, and its pairs one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from harness.config import option
from harness.data.cache import digest
from harness.interfaces.corpus import PREFERENCES, CorpusConfig, Document, Turn, example
from harness.registry import Entry, registry

WORDS = ["alpha", "beta", "gamma", "delta", "eps"]


@dataclass(kw_only=True)
class Tastes(CorpusConfig):
    """Questions of one to four words, which are better answered by their first word than by some others."""

    pairs: int = option(60, "how many", minimum=1)

    def form(self) -> str:
        return PREFERENCES

    def fingerprint(self) -> str:
        return digest([document.text for document in self.read(0, len(self))])

    def build(self) -> Tastes:
        return self

    def __len__(self) -> int:
        return self.pairs

    def read(self, start: int, stop: int) -> Iterator[Document]:
        for number in range(start, stop):
            rng = random.Random(number)
            words = rng.choices(WORDS, k=rng.randint(1, 4))
            worse = " ".join(rng.choices(WORDS, k=rng.randint(1, 3))) + "!"
            yield example(f"tastes:{number}", [Turn("user", f"{number} {' '.join(words)}?")], [words[0], worse])


def register(patch: pytest.MonkeyPatch) -> None:
    """Makes ``corpus=tastes`` known until the patch is undone."""
    patch.setitem(registry().entries, ("corpus", "tastes"), [Entry("corpus", "tastes", Tastes, "tests", "0")])
