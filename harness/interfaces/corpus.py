"""Corpora: where documents come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.config import PluginConfig

#: The forms of a corpus: running text; turns of which those of the assistant are learned; a prompt with a better and a
#: worse answer; prompts alone.
DOCUMENTS, CONVERSATIONS, PREFERENCES, PROMPTS = "documents", "conversations", "preferences", "prompts"

#: Who may say a turn.
SPEAKERS = ("system", "user", "assistant")


@dataclass(frozen=True)
class Document:
    """One document. name: where it came from, for messages and held-out samples (file, row)."""

    text: str
    name: str

    @property
    def origin(self) -> str:
        """The text that decides whether it is held out."""
        return self.text


@dataclass(frozen=True)
class Turn:
    """What one of `SPEAKERS` says."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Example(Document):
    """What is to be answered, and how. text: all of it as plain text.

    turns: a conversation, which ends with the assistant's; or a prompt, which does not. answers: of a preference, the
    better one and the worse one. fields: what a reward may look at beside the prompt. made_from: the text that it was
    made from, where that is a document's: both are held out, or neither is.
    """

    turns: tuple[Turn, ...] = ()
    answers: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    made_from: str = ""

    @property
    def asked(self) -> str:
        """The text of the turn that is to be answered."""
        return next((turn.text for turn in reversed(self.turns) if turn.speaker != "assistant"), "")

    @property
    def origin(self) -> str:
        """Examples of one prompt are all held out, or none is."""
        return self.made_from or "\0".join(turn.text for turn in self.turns if turn.speaker != "assistant")


def example(name: str, turns: Sequence[Turn], answers: Sequence[str] = (), **more: Any) -> Example:
    """An `Example` with its text."""
    text = "\n".join([*(turn.text for turn in turns), *answers])
    return Example(text, name, turns=tuple(turns), answers=tuple(answers), **more)


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

    def form(self) -> str:
        """What its documents are: one of the forms above. Those of every form but the first are `Example`s."""
        return DOCUMENTS

    def mixture(self) -> Sequence[Source]:
        """The parts of a mix; a corpus that is none is its own only source."""
        return [Source(self.name, self, 1.0)]

    def fingerprint(self) -> str:
        """A hash of the content, hexadecimal. Raises UserError where the content cannot be read."""
        raise NotImplementedError

    def build(self) -> Corpus:
        raise NotImplementedError
