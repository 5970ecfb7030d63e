"""What every corpus promises: the same documents, in the same order, whatever part is read."""

from __future__ import annotations

from itertools import islice
from typing import Any, ClassVar

from harness.interfaces.corpus import DOCUMENTS, PREFERENCES, SPEAKERS, Document, Example
from harness.testing.check import sound

#: Documents that are looked at, at most.
MOST = 50


def reads_otherwise(corpus: Any) -> str | None:
    """Whether documents differ when they are read again, or in parts."""
    count = min(len(corpus), MOST)
    if not count:
        return "It has no documents."
    first = list(corpus.read(0, count))
    if len(first) != count:
        return f"Of documents 0 to {count} it gives {len(first)}, and not {count}."
    for number, (ours, theirs) in enumerate(zip(first, corpus.read(0, count), strict=True)):
        if ours != theirs:
            return f"Read a second time, document {number} is another one: {theirs.name!r}, and was {ours.name!r}."
    middle = count // 2
    for start, stop in ((middle, count), (0, middle), (count - 1, count), (middle, middle)):
        if list(corpus.read(start, stop)) != first[start:stop]:
            return f"Documents {start} to {stop} are others when they are read alone."
    return None


def builds_otherwise(config: Any) -> str | None:
    """Whether a second corpus of the same Config holds other documents, or has another fingerprint."""
    first, second = config.build(), config.build()
    if len(first) != len(second):
        return f"Built twice, it has {len(first)} and {len(second)} documents."
    count = min(len(first), MOST)
    if list(first.read(0, count)) != list(second.read(0, count)):
        return "Built twice, it holds other documents, or in another order."
    return has_no_hash(config)


def has_no_hash(config: Any) -> str | None:
    """Whether its fingerprint is none of the content, or another one the second time."""
    first, second = config.fingerprint(), config.fingerprint()
    if first != second:
        return "Asked twice, its fingerprint is another one."
    if not first or set(first) - set("0123456789abcdef"):
        return f"Its fingerprint is {first!r}, which is no hexadecimal hash of the content."
    return None


def misforms(config: Any, corpus: Any) -> str | None:
    """Whether documents have no names, or examples not the form that the Config says."""
    form = config.form()
    for number, document in enumerate(islice(corpus.read(0, min(len(corpus), MOST)), MOST)):
        if not isinstance(document, Document) or not isinstance(document.text, str):
            return f"Document {number} is {type(document).__name__}, and no Document with a text."
        if not document.name:
            return f"Document {number} has no name: say where it came from."
        if form != DOCUMENTS and (fault := _misformed(document, form)):
            return f"Document {number} is none of {form}: {fault}."
    return None


def _misformed(document: Document, form: str) -> str | None:
    if not isinstance(document, Example):
        return "it is no Example"
    if not document.turns:
        return "it has no turns"
    if unknown := {turn.speaker for turn in document.turns} - set(SPEAKERS):
        return f"{unknown.pop()} is no speaker"
    if form == PREFERENCES and len(document.answers) < 2:
        return f"it has {len(document.answers)} answers, and not a better one and a worse one"
    return None


class CorpusKit:
    """Subclass it and give `config`, a `CorpusConfig`, or a method `corpus` that makes one.

    class TestMine(CorpusKit):
        config = MyConfig(name="mine", documents=20)
    """

    config: ClassVar[Any]

    def corpus(self) -> Any:
        return self.config

    def test_documents_are_always_the_same(self) -> None:
        for source in self.corpus().mixture():
            sound(reads_otherwise(source.corpus.build()))

    def test_a_second_one_holds_the_same(self) -> None:
        for source in self.corpus().mixture():
            sound(builds_otherwise(source.corpus))

    def test_documents_have_names_and_the_form_that_is_told(self) -> None:
        for source in self.corpus().mixture():
            sound(misforms(source.corpus, source.corpus.build()))

    def test_the_content_has_a_hash(self) -> None:
        sound(has_no_hash(self.corpus()))
