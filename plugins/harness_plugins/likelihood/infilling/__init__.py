"""The likelihood of a continuation as the piece that was cut out at the end of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness import hookimpl
from harness.interfaces.architecture import ENCODER_DECODER
from harness.interfaces.likelihood import Asked, Likelihood, LikelihoodConfig, Row
from harness.interfaces.tokenizer import decoder_start

HARNESS_INTERFACE = 1

#: What stands for a piece.
SENTINEL = "<extra_id_0>"


@dataclass(kw_only=True)
class InfillingConfig(LikelihoodConfig):
    """Σ log p(token | the context and a sentinel, and the tokens behind the sentinel before it): the question in the
    form in which T5 is trained (Raffel et al. 2020, figure 2). That the piece ends there is not asked."""

    def build(self, asked: Asked) -> Likelihood:
        return Infilling(asked)


class Infilling:
    """One row for each question. mode: tokens that stand before each context."""

    def __init__(self, asked: Asked, mode: Sequence[int] = ()) -> None:
        self.mode, self.length = list(mode), asked.length - len(mode)
        self.encodes = asked.topology == ENCODER_DECODER
        start = decoder_start(asked.tokenizer) if self.encodes else asked.tokenizer.end
        self.sentinel, self.opened = asked.extra[SENTINEL], [start, asked.extra[SENTINEL]]
        # A decoder's row also holds a token of the context and the sentinel that it ends with.
        self.room = self.length - (1 if self.encodes else 3)

    def rows(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        opening = self._opened(context, self.length - len(continuation) - 2)
        shown, n = [*opening.inputs, *continuation[:-1]], len(continuation)
        return [
            Row(source=opening.source, inputs=shown, places=range(len(shown) - n, len(shown)), targets=continuation)
        ]

    def opening(self, context: Sequence[int]) -> Row:
        return self._opened(context, len(context))

    def _opened(self, context: Sequence[int], room: int) -> Row:
        """room: tokens of the context that a decoder's row has place for."""
        if self.encodes:
            return Row(source=[*self.mode, *context[-(self.length - 1) :], self.sentinel], inputs=self.opened)
        shown = context[max(0, len(context) - room) :]
        return Row(inputs=[*self.mode, *shown, self.sentinel, *self.opened])


@hookimpl
def register_likelihood() -> dict[str, type]:
    return {"infilling": InfillingConfig}
