"""Examples made from the functions of the running Python's library: real ones on every machine, offline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.corpus import CONVERSATIONS, PREFERENCES, PROMPTS, CorpusConfig

if TYPE_CHECKING:
    from harness_plugins.corpus.python_tasks.python_tasks import Tasks

HARNESS_INTERFACE = 1

#: The ways in which an answer is made worse.
WAYS = ("lines", "names", "line")


@dataclass(kw_only=True)
class PythonTasks(CorpusConfig):
    """Functions as conversations (docstring to signature, both to body), preferences (the real end of a function or a
    corrupted one) or prompts (its beginning). What corpus=python_stdlib holds out is held out here, too.
    """

    results_version: ClassVar[int] = 1

    examples: str = option(CONVERSATIONS, "what a function is made into", choices=(CONVERSATIONS, PREFERENCES, PROMPTS))
    corruption: str = option(
        "any", "what is wrong with the worse answer. lines: two of them exchanged; names: two exchanged; line: one "
        "from elsewhere in its module; any: whichever a coin says of those that are possible",
        neutral="any", choices=("any", *WAYS),
    )  # fmt: skip
    characters: int = option(300, "longest prompt with its longest answer; a prompt alone: half of it", minimum=80)
    shuffled: str = option(
        "nothing", "for control runs. answers: those of a module change places, or a coin says which of two is the "
        "better; characters: those of each answer stand in a random order",
        choices=("nothing", "answers", "characters"),
    )  # fmt: skip

    def check(self) -> None:
        if self.shuffled != "nothing" and self.examples == PROMPTS:
            raise ConfigError(f"shuffled={self.shuffled}: prompts have no answers. Say shuffled=nothing.")

    def form(self) -> str:
        return self.examples

    def fingerprint(self) -> str:
        from harness.data.cache import digest
        from harness_plugins.corpus.python_tasks.functions import fingerprint

        chosen = [] if self.corruption == "any" else [self.corruption]
        made = [self.results_version, fingerprint(), self.examples, self.characters, self.shuffled]
        return digest([*made, *chosen])

    def build(self) -> Tasks:
        from harness_plugins.corpus.python_tasks.python_tasks import build

        return build(self)


@hookimpl
def register_corpus() -> dict[str, type]:
    return {"python_tasks": PythonTasks}
