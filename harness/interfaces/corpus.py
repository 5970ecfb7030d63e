"""Corpora: where documents come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.config import PluginConfig


@dataclass(frozen=True)
class Document:
    """One document. name: where it came from, for messages and held-out samples (file, row)."""

    text: str
    name: str


class Corpus(Protocol):
    """What `CorpusConfig.build` returns: a sequence of documents that can be read in any part, again and again."""

    def __len__(self) -> int:
        """How many documents there are."""
        ...

    def read(self, start: int, stop: int) -> Iterator[Document]:
        """Documents start … stop − 1, always the same."""
        ...


@dataclass(frozen=True)
class Source:
    """One corpus of a mix. weight: its share of the training sequences."""

    name: str
    corpus: CorpusConfig
    weight: float


@dataclass(kw_only=True)
class CorpusConfig(PluginConfig):
    """Base of every corpus's Config."""

    def mixture(self) -> Sequence[Source]:
        """The parts of a mix; a corpus that is none is its own only source."""
        return [Source(self.name, self, 1.0)]

    def fingerprint(self) -> str:
        """A hash of the content, hexadecimal. Raises UserError where the content cannot be read."""
        raise NotImplementedError

    def build(self) -> Corpus:
        raise NotImplementedError
