"""Functions to examples of each form."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.interfaces.corpus import CONVERSATIONS, PREFERENCES, Document, Example, Turn, example
from harness_plugins.corpus.python_stdlib.python_stdlib import build as library
from harness_plugins.corpus.python_tasks.corruption import corrupted
from harness_plugins.corpus.python_tasks.functions import Function, functions

if TYPE_CHECKING:
    from harness_plugins.corpus.python_tasks import PythonTasks

#: Characters of a preference's better answer, at least: shorter ones end many a function.
LEAST_ANSWER = 20


@dataclass(frozen=True)
class Task:
    """What a function is made into. answers: of a conversation one, of a preference the better and the worse one, of a
    prompt none."""

    module: int
    line: int
    prompt: str
    answers: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Characters of the prompt with the longest answer."""
        return len(self.prompt) + max(map(len, self.answers), default=0)


class Tasks:
    """The tasks of one form, as a corpus."""

    def __init__(self, tasks: Sequence[Task], form: str) -> None:
        self.tasks, self.form = tasks, form

    def __len__(self) -> int:
        return len(self.tasks)

    def read(self, start: int, stop: int) -> Iterator[Example]:
        for task in self.tasks[start:stop]:
            whole, turns, answers = _module(task.module), [Turn("user", task.prompt)], task.answers
            if self.form == CONVERSATIONS:
                turns, answers = [*turns, Turn("assistant", answers[0])], ()
            yield example(f"{whole.name}:{task.line}", turns, answers, made_from=whole.text)


@functools.lru_cache(maxsize=64)  # the tasks of a module follow one another
def _module(number: int) -> Document:
    return next(library().read(number, number + 1))


def build(config: PythonTasks) -> Tasks:
    tasks: list[Task] = []
    for _, of_module in itertools.groupby(functions(), key=lambda function: function.module):
        found = _made(list(of_module), config)
        most = config.characters if found and found[0].answers else config.characters // 2
        short = [task for task in found if len(task) <= most]
        tasks += SHUFFLED[config.shuffled](short)
    return Tasks(tasks, config.examples)


def conversations(of_module: Sequence[Function]) -> list[Task]:
    """Signature and docstring to body, docstring to signature."""
    found = []
    for f in of_module:
        if f.docstring:
            found.append(Task(f.module, f.line, f.signature + f.docstring, (f.body,)))
            found.append(Task(f.module, f.line, f.docstring.strip() + "\n", (f.signature,)))
    return found


def preferences(of_module: Sequence[Function], corruption: str = "any") -> list[Task]:
    """A function up to the middle of its body, with its real rest and a corrupted one."""
    said, found = sorted({line.strip() for f in of_module for line in f.body.splitlines() if line.strip()}), []
    for f in of_module:
        lines = f.body.splitlines(keepends=True)
        prompt = f.signature + f.docstring + "".join(lines[: len(lines) // 2])
        rest = "".join(lines[len(lines) // 2 :])
        if len(rest) < LEAST_ANSWER:
            continue
        worse = corrupted(rest, prompt, said, random.Random(prompt + rest), corruption)
        if worse is not None:
            found.append(Task(f.module, f.line, prompt, (rest, worse)))
    return found


def prompts(of_module: Sequence[Function]) -> list[Task]:
    """Signature and docstring."""
    return [Task(f.module, f.line, f.signature + f.docstring) for f in of_module]


def _made(of_module: Sequence[Function], config: PythonTasks) -> list[Task]:
    if config.examples == PREFERENCES:
        return preferences(of_module, config.corruption)
    return conversations(of_module) if config.examples == CONVERSATIONS else prompts(of_module)


def _answers_shuffled(tasks: Sequence[Task]) -> list[Task]:
    """Preferences by a fair coin each; of conversations each answer goes to the next one in a random circle, so that
    none stays where there are others, and none leaves the module, which is held out or is not."""
    if tasks and len(tasks[0].answers) == 2:
        return [replace(t, answers=t.answers[::-1]) if _random(t).random() < 0.5 else t for t in tasks]
    circle = sorted(range(len(tasks)), key=lambda number: _random(tasks[number]).random())
    follows = dict(zip(circle, circle[1:] + circle[:1], strict=True))
    return [replace(task, answers=tasks[follows[number]].answers) for number, task in enumerate(tasks)]


def _characters_shuffled(tasks: Sequence[Task]) -> list[Task]:
    """Each answer is as long as it was, and says nothing."""
    chances = map(_random, tasks)
    return [
        replace(task, answers=tuple("".join(chance.sample(answer, len(answer))) for answer in task.answers))
        for task, chance in zip(tasks, chances, strict=True)
    ]


#: What is done to the tasks of a module, by the option `shuffled`.
SHUFFLED: dict[str, Callable[[Sequence[Task]], list[Task]]] = {
    "nothing": list, "answers": _answers_shuffled, "characters": _characters_shuffled,
}  # fmt: skip


def _random(task: Task) -> random.Random:
    return random.Random("\0".join(("shuffled", task.prompt, *task.answers)))
