"""What every suite promises: the same questions each time, which lm-eval's tasks can ask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar

from harness.interfaces.corpus import Document
from harness.interfaces.suite import HeldOut
from harness.testing.check import sound

#: Items of a task that are looked at, at most.
MOST = 8


def held_out(documents: int = 24) -> list[HeldOut]:
    """Documents of prose and of code, of one source."""
    code = "def add_{n}(first, second):\n    total = first + second\n    if total > {n}:\n        return total\n"
    prose = "It was the day number {n}, and nobody had seen the rain. Then, at noon, it began.\n"
    texts = [(code if n % 2 else prose).format(n=n) * 4 for n in range(documents)]
    return [HeldOut("source", [Document(text, f"document {n}") for n, text in enumerate(texts)])]


def _items(task: Any) -> list[str]:
    documents = task.eval_docs if hasattr(task, "eval_docs") else task.test_docs()
    return [json.dumps(dict(document), sort_keys=True, default=str) for document in islice(documents, MOST)]


def asks_otherwise(config: Any, sources: Sequence[HeldOut], tokenizer: Any) -> str | None:
    """Whether there is no task, a task has no items, or the items are others when it is built again."""
    first, second = (config.build(sources, tokenizer) for _ in range(2))
    if not first:
        return "It has no tasks."
    if list(first) != list(second):
        return f"Built twice, its tasks are {', '.join(first)}, and then {', '.join(second)}."
    for name, task in first.items():
        if not (items := _items(task)):
            return f"The task {name} has no items."
        if items != _items(second[name]):
            return f"Built twice, the task {name} asks something else."
    return None


def has_no_fingerprint(config: Any) -> str | None:
    """Whether what determines its questions is told otherwise the second time."""
    same = config.fingerprint() == config.fingerprint()
    return None if same and config.fingerprint() else "Asked twice, its fingerprint is another one, or there is none."


def holds_out_wrongly(config: Any) -> str | None:
    share = config.asks_of()
    return None if 0.0 <= share < 1.0 else f"asks_of() is {share}, which is no share of a corpus."


class SuiteKit:
    """Subclass it and give `config`, a `SuiteConfig` of few items that needs no network.

    class TestMine(SuiteKit):
        config = MyConfig(name="mine", items=4)
    """

    config: ClassVar[Any]

    def suite(self) -> Any:
        return self.config

    def held_out(self) -> Sequence[HeldOut]:
        return held_out()

    def tokenizer(self) -> Any:
        from harness.config import plugin_config

        return plugin_config("tokenizer", "bytes", "tokenizer").train(())

    def test_it_asks_the_same_each_time(self) -> None:
        sound(asks_otherwise(self.suite(), self.held_out(), self.tokenizer()))

    def test_what_determines_it_is_told(self) -> None:
        sound(has_no_fingerprint(self.suite()))
        sound(holds_out_wrongly(self.suite()))
