"""The likelihood of a continuation given a context that is seen both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.interfaces.architecture import ENCODER_DECODER
from harness.interfaces.likelihood import Asked, Likelihood, LikelihoodConfig, Row
from harness.interfaces.tokenizer import decoder_start
from harness.interfaces.visibility import Condition, Prefix

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class PrefixConfig(LikelihoodConfig):
    """log p(continuation | context) = Σ log p(token | all of the context, and what of the continuation is before it):
    the context is a decoder's prefix, or what an encoder reads."""

    sees: ClassVar[type[Condition]] = Prefix

    def build(self, asked: Asked) -> Likelihood:
        return PrefixLikelihood(asked)


class PrefixLikelihood:
    """One row for each question."""

    def __init__(self, asked: Asked) -> None:
        self.room, self.start = asked.length, decoder_start(asked.tokenizer)
        self.encodes = asked.topology == ENCODER_DECODER

    def rows(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        n = len(continuation)
        if self.encodes:
            read, shown = context[-self.room :], [self.start, *continuation[:-1]]
            return [Row(source=read, inputs=shown, places=range(n), targets=continuation)]
        shown = [*context, *continuation][-(self.room + 1) : -1]
        before = len(shown) + 1 - n
        return [Row(inputs=shown, places=range(before - 1, len(shown)), targets=continuation, prefix=before)]

    def opening(self, context: Sequence[int]) -> Row:
        if self.encodes:
            return Row(source=context[-self.room :], inputs=[self.start])
        return Row(inputs=context, prefix=len(context))


@hookimpl
def register_likelihood() -> dict[str, type]:
    return {"prefix": PrefixConfig}
