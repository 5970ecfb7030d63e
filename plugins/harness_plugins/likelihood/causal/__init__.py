"""The likelihood of a causal model: every token given those before it, as lm-eval's `HFLM` asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness import hookimpl
from harness.interfaces.likelihood import Asked, Likelihood, LikelihoodConfig, Row

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class CausalConfig(LikelihoodConfig):
    """log p(continuation | context) = Σ log p(token | those before it)."""

    def build(self, asked: Asked) -> Likelihood:
        return CausalLikelihood(asked.length)


class CausalLikelihood:
    """One row for each question; the last token is asked for and never shown."""

    def __init__(self, length: int) -> None:
        self.room = length

    def rows(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        shown = [*context, *continuation][-(self.room + 1) : -1]
        return [
            Row(inputs=shown, places=range(len(shown) - len(continuation), len(shown)), targets=continuation),
        ]

    def opening(self, context: Sequence[int]) -> Row:
        return Row(inputs=context)


@hookimpl
def register_likelihood() -> dict[str, type]:
    return {"causal": CausalConfig}
