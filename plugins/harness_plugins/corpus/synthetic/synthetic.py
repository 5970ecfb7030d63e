"""Documents that are made when they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.data import synthetic
from harness.interfaces.corpus import Document


@dataclass(frozen=True)
class SyntheticCorpus:
    """difficulty: kinds of problem, each with its (least, greatest). problems: in one document."""

    seed: int
    documents: int
    difficulty: Mapping[str, Sequence[int]]
    problems: int

    def __len__(self) -> int:
        return self.documents

    def read(self, start: int, stop: int) -> Iterator[Document]:
        for index in range(start, stop):
            yield Document(synthetic.document(self.seed, index, self.difficulty, self.problems), f"synthetic:{index}")
