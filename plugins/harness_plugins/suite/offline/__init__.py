"""The default suite: no download, no network; every item is made from the held-out documents or a generator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.data.synthetic import DIFFICULTIES
from harness.errors import suggest
from harness.interfaces.suite import HeldOut, SuiteConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class OfflineConfig(SuiteConfig):
    """Bits per byte on held-out documents, minimal pairs on held-out Python, and synthetic problems, each discrete
    metric beside its continuous twins."""

    documents: int = option(64, "held-out documents of each source for bits per byte; 0: leave it out", minimum=0)
    excerpt_bytes: int = option(2048, "bytes of a document that are scored, in whole lines, at most", minimum=64)
    pairs: int = option(200, "minimal pairs of each kind; 0: leave them out", minimum=0)
    pair_documents: int = option(256, "held-out documents that pairs are made from, at most", minimum=1)
    pair_bytes: int = option(240, "bytes of the longest snippet in a pair", minimum=32)
    problems: int = option(100, "synthetic problems of each kind; 0: leave them out", minimum=0)
    difficulty: dict[str, list[int]] = option(
        {"copy": [2, 8], "induction": [4, 12], "addition": [1, 2]},
        "kinds of problem, each with its least and greatest difficulty (letters, digits)",
    )
    seed: int = option(0, "of all that is drawn: excerpts, pairs, problems")

    def check(self) -> None:
        for kind, bounds in self.difficulty.items():
            if kind not in DIFFICULTIES:
                raise ConfigError(f"difficulty.{kind} is no kind of problem. {suggest(kind, DIFFICULTIES)}")
            lowest, highest = DIFFICULTIES[kind]
            if len(bounds) != 2 or not lowest <= bounds[0] <= bounds[1] <= highest:
                raise ConfigError(
                    f"difficulty.{kind}={bounds} is not possible: give [least, greatest], from {lowest} to {highest}."
                )

    def needs_held_out(self) -> bool:
        return bool(self.documents or self.pairs)

    def build(self, held_out: Sequence[HeldOut], tokenizer: Any) -> dict[str, Any]:
        from harness_plugins.suite.offline.suite import build

        return build(self, held_out, tokenizer)


@hookimpl
def register_suite() -> dict[str, type]:
    return {"offline": OfflineConfig}
