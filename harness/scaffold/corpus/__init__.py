"""Documents that count: each from a number of its own, in steps of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness import hookimpl
from harness.config import option
from harness.interfaces.corpus import CorpusConfig, Document

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(CorpusConfig):
    """Document k counts from k in steps of 1 to `steps`."""

    documents: int = option(2000, "documents", minimum=1)
    length: int = option(40, "numbers in one document", minimum=1)
    steps: int = option(7, "the largest step", minimum=1)

    def fingerprint(self) -> str:
        """A hash of the content. The cache of tokens is found by it."""
        from harness.data.cache import digest

        return digest([document.text for document in self.build().read(0, self.documents)])

    def build(self) -> MineCorpus:
        return MineCorpus(self)


class MineCorpus:
    """Any part can be read without what is before it."""

    def __init__(self, config: MineConfig) -> None:
        self.config = config

    def __len__(self) -> int:
        return self.config.documents

    def read(self, start: int, stop: int) -> Iterator[Document]:
        for number in range(start, stop):
            step = 1 + number % self.config.steps
            counted = range(number, number + step * self.config.length, step)
            yield Document(" ".join(map(str, counted)) + "\n", f"mine:{number}")


@hookimpl
def register_corpus() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.corpus.conf"]
