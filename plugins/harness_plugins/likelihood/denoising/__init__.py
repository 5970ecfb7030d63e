"""The likelihood of a continuation as what a denoiser writes where a text breaks off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness import hookimpl
from harness.interfaces.likelihood import Asked, Likelihood, LikelihoodConfig, Row
from harness.interfaces.tokenizer import decoder_start

HARNESS_INTERFACE = 1

#: What stands for a span.
MASK = "[MASK]"


@dataclass(kw_only=True)
class DenoisingConfig(LikelihoodConfig):
    """Σ log p(token | the context and a mask, which an encoder reads, and the text before the token): a denoiser writes
    the whole text (Lewis et al. 2020), so the context is written, too, and only the continuation is asked for."""

    def build(self, asked: Asked) -> Likelihood:
        return DenoisingLikelihood(asked)


class DenoisingLikelihood:
    """One row for each question."""

    def __init__(self, asked: Asked) -> None:
        self.length, self.start, self.mask = asked.length, decoder_start(asked.tokenizer), asked.extra[MASK]
        self.room = self.length - 1

    def rows(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        n = len(continuation)
        opened = self._opened(context[-(self.length - n) :])
        shown = [*opened.inputs, *continuation[:-1]]
        return [Row(source=opened.source, inputs=shown, places=range(len(shown) - n, len(shown)), targets=continuation)]

    def opening(self, context: Sequence[int]) -> Row:
        return self._opened(context[-(self.length - 1) :])

    def _opened(self, context: Sequence[int]) -> Row:
        return Row(source=[*context, self.mask], inputs=[self.start, *context])


@hookimpl
def register_likelihood() -> dict[str, type]:
    return {"denoising": DenoisingConfig}
