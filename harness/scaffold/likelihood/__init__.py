"""The likelihood of a continuation alone, whatever stands before it: how likely a text is of its own accord."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness import hookimpl
from harness.interfaces.likelihood import Asked, Likelihood, LikelihoodConfig, Row

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(LikelihoodConfig):
    """log p(continuation) = Σ log p(token | those of the continuation before it). No options."""

    def build(self, asked: Asked) -> Likelihood:
        return MineLikelihood(asked)


class MineLikelihood:
    """One row for each question: the end token, as before an empty context, then the continuation."""

    def __init__(self, asked: Asked) -> None:
        self.room, self.end = asked.length, asked.tokenizer.end

    def rows(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        """The last token is asked for and never shown."""
        shown = [self.end, *continuation[:-1]]
        return [Row(inputs=shown, places=range(len(shown)), targets=continuation)]


@hookimpl
def register_likelihood() -> dict[str, type]:
    return {"mine": MineConfig}
