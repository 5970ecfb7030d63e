"""Methods: what turns data and model into a loss.

A method returns weighted *sums*; each term is divided by its count over the whole step (all micro-batches,
all ranks) before the first backward, so that masked and answer-only losses come out right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from harness.config import PluginConfig, option
from harness.interfaces.visibility import Causal, Condition

if TYPE_CHECKING:
    import torch

    from harness.interfaces.batch import Batch, Randomness, Sequences


class Method(Protocol):
    """What `ObjectiveConfig.build` returns."""

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        """Rows of tokens to one batch on the CPU. Runs in loader processes; every random choice about row b
        comes from ``randomness(sequences.places_B[b])``."""
        ...

    def counts(self, batch: Batch) -> dict[str, float]:
        """What each term of the loss is divided by, a function of the batch alone; the batch is on the CPU."""
        ...

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """Each term of the loss as a weighted sum over the batch. The total is Σ term / count. A term that `counts`
        does not name (an auxiliary loss out of `Output`) is a mean already, and is averaged over the micro-batches."""
        ...


@dataclass(kw_only=True)
class ObjectiveConfig(PluginConfig):
    """Base of every objective's Config."""

    #: The kinds of visibility condition it asks the body for.
    asks: ClassVar[frozenset[type[Condition]]] = frozenset({Causal})
    #: How its model is scored: the kind of likelihood in each score row.
    likelihood: ClassVar[str] = "causal"
    #: The head it needs, by name.
    head: ClassVar[str] = "language_model"

    logits_chunk: int | None = option(
        None, "places whose logits are held at once; null: all of them", identity=False, minimum=1
    )

    def build(self, tokenizer: Any, attend_across_documents: bool) -> Method:
        raise NotImplementedError
