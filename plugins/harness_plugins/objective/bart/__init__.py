"""Denoising: a text from what is left of it, with spans hidden and sentences in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.architecture import ENCODER_DECODER
from harness.interfaces.method import Method, ObjectiveConfig, Places, Setting

HARNESS_INTERFACE = 1

#: What stands for a span.
MASK = "[MASK]"


@dataclass(kw_only=True)
class BartConfig(ObjectiveConfig):
    """Denoising (Lewis et al. 2020, "BART", section 2.2): text infilling and sentence permutation. The encoder reads
    what they leave, and the decoder writes the whole text."""

    likelihood: ClassVar[str | None] = "denoising"
    topologies: ClassVar[frozenset[str]] = frozenset({ENCODER_DECODER})

    rate: float = option(0.3, "share of a document's tokens that are hidden", minimum=0.0, maximum=0.9)
    length: float = option(3.0, "tokens of one span, in the mean of a Poisson distribution", minimum=1.0)
    permuted: bool = option(
        True, "whether a document's sentences are shuffled. One ends with a line, or at . ! or ? where a word ends"
    )

    def extra_tokens(self) -> tuple[str, ...]:
        return (MASK,)

    def places(self, sequence_length: int, topology: str) -> Places:
        hidden = self.rate * sequence_length
        return Places(sequence_length, round(sequence_length - hidden + hidden / self.length))

    def build(self, setting: Setting) -> Method:
        from harness.models.rewriting import Rewriting
        from harness_plugins.objective.bart.bart import Denoising

        return Rewriting("bart", Denoising(self, setting), setting, logits_chunk=self.logits_chunk)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"bart": BartConfig}
