"""Documents of known difficulty, so that a small model has capabilities to acquire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.data.synthetic import DIFFICULTIES, KINDS
from harness.errors import suggest
from harness.interfaces.corpus import CorpusConfig

if TYPE_CHECKING:
    from harness_plugins.corpus.synthetic.synthetic import SyntheticCorpus

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class Synthetic(CorpusConfig):
    """Problems made from (seed, number of the document), in the form of `harness.data.synthetic`."""

    results_version: ClassVar[int] = 1

    documents: int = option(4000, "documents", minimum=1)
    problems: int = option(16, "problems in one document", minimum=1)
    seed: int = option(0, "seed of the problems")
    tasks: list[str] = option(list(KINDS), "kinds of problem")
    copy: list[int] = option([2, 8], "fewest and most letters to copy")
    induction: list[int] = option([4, 12], "fewest and most letters before the one that comes again")
    addition: list[int] = option([1, 2], "fewest and most digits of each number to add")
    brackets: list[int] = option([1, 6], "fewest and most brackets to close")

    def check(self) -> None:
        if not self.tasks:
            raise ConfigError(f"tasks is empty. {suggest('', KINDS)}")
        for task in self.tasks:
            if task not in KINDS:
                raise ConfigError(f"tasks: there is no kind of problem {task}. {suggest(task, KINDS)}")
            lowest, highest = DIFFICULTIES[task]
            span = getattr(self, task)
            if len(span) != 2 or not lowest <= span[0] <= span[1] <= highest:
                raise ConfigError(f"{task}={span} is not [fewest, most] within {lowest} … {highest}.")

    def difficulty(self) -> dict[str, list[int]]:
        """The kinds of problem, each with its least and greatest difficulty."""
        return {task: getattr(self, task) for task in self.tasks}

    def fingerprint(self) -> str:
        from harness.data.cache import digest

        corpus = self.build()
        first = [document.text for document in corpus.read(0, min(16, self.documents))]
        return digest([self.results_version, self.seed, self.documents, self.problems, self.difficulty(), first])

    def build(self) -> SyntheticCorpus:
        from harness_plugins.corpus.synthetic.synthetic import SyntheticCorpus

        return SyntheticCorpus(self.seed, self.documents, self.difficulty(), self.problems)


@hookimpl
def register_corpus() -> dict[str, type]:
    return {"synthetic": Synthetic}
