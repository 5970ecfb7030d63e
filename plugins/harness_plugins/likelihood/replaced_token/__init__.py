"""What a discriminator thinks of a text: whether its tokens are the text's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.interfaces.likelihood import Asked, Likelihood, LikelihoodConfig, Row
from harness.interfaces.visibility import Condition, Full

HARNESS_INTERFACE = 1

#: The class of a token that is the text's own.
ORIGINAL = 0


@dataclass(kw_only=True)
class ReplacedTokenConfig(LikelihoodConfig):
    """Σ log p(the token is the text's own | the whole text), over the continuation, in one forward pass. It is no
    likelihood: nothing makes the texts' numbers add up to one, and its scores compare texts of one model alone."""

    head: ClassVar[str] = "replaced_token"
    proper: ClassVar[bool] = False
    sees: ClassVar[type[Condition]] = Full

    def build(self, asked: Asked) -> Likelihood:
        return ReplacedToken(asked.length)


class ReplacedToken:
    """One row for each question."""

    def __init__(self, length: int) -> None:
        self.room = length

    def rows(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        shown, n = [*context, *continuation][-self.room :], len(continuation)
        return [Row(inputs=shown, places=range(len(shown) - n, len(shown)), targets=[ORIGINAL] * n)]


@hookimpl
def register_likelihood() -> dict[str, type]:
    return {"replaced_token": ReplacedTokenConfig}
