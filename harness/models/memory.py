"""The bytes of tensors that one training step holds at most, from the closed forms of the Configs, without torch.

Attention is taken to be computed by a fused kernel, which keeps queries, keys, values, its result and one number for
each query (Dao et al. 2022). Where it is not (dropout of attention weights on CPUs), it keeps all weights as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from harness.interfaces.architecture import Activations, ArchitectureConfig
from harness.models.counting import BYTES, account

#: Numbers for each logit at once: its log-probability, and two gradients. In float32 always.
LOGITS = 3


@dataclass(frozen=True)
class Step:
    """How one optimizer step is carried out. micro_batch: sequences in one forward pass, of `micro_batches`.
    optimizer_numbers: numbers of optimizer state for each parameter (AdamW: 2). update_numbers: those that an update
    makes beside it. recomputed: as `trainer.activation_checkpointing`."""

    sequence_length: int
    micro_batch: int
    micro_batches: int = 1
    precision: str = "fp32"
    recomputed: str = "none"
    logits_chunk: int | None = None
    optimizer_numbers: float = 2.0
    update_numbers: float = 0.0


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes. copies: of the weights, as autocast keeps them for matrix products. activations: at the moment when most
    bytes are held besides weights, copies and optimizer state; None where the architecture does not say. peak: of all
    together, which is less than their sum, since gradients come as activations go."""

    weights: int
    gradients: int
    optimizer: int
    copies: int
    activations: int | None
    peak: int


def training_memory(config: ArchitectureConfig, vocabulary: int, step: Step) -> TrainingMemory:
    """Of one device that holds everything."""
    model = account(config, vocabulary, step.sequence_length)
    own, computed = BYTES[step.precision]
    shared = sum(part.flops // 2 for part in model.parts if part.flops and not part.parameters)  # tables as matrices
    matrices = model.non_embedding + shared  # gains and biases, which are few, are taken for such
    weights, copies = model.total * own, matrices * computed if computed < own else 0
    optimizer = round(step.optimizer_numbers * weights)
    kept = config.activations(step.sequence_length)
    if kept is None:
        return TrainingMemory(weights, weights, optimizer, copies, None, 2 * weights + optimizer + copies)
    activations, table = _activations(kept, vocabulary, step), vocabulary * kept.width * own
    before = weights if step.micro_batches > 1 else 0  # gradients of the micro-batches before
    moments = (
        before + activations.at_loss,
        before + table + activations.at_last_layer,
        matrices * own + activations.at_first_layer,
        weights + round(step.update_numbers * weights),
        weights + 2 * shared * own,  # a shared table's gradients as look-up and as matrix, and their sum
    )
    peak = weights + optimizer + copies + max(moments)
    return TrainingMemory(weights, weights, optimizer, copies, max(activations), peak)


class _Activations(NamedTuple):
    """Bytes of activations and of their gradients, at the moments when there are most; the loss's with what it holds of
    the head's gradient."""

    at_loss: int
    at_last_layer: int  #: the first that the backward pass reaches
    at_first_layer: int


def _activations(kept: Activations, vocabulary: int, step: Step) -> _Activations:
    own, computed = BYTES[step.precision]
    places, width = step.micro_batch * step.sequence_length, kept.width
    whole = [places * (layer.stream * own + layer.computed * computed) for layer in kept.layers]
    held = {
        "none": whole,
        "selective": [places * (width * own + layer.products * computed) for layer in kept.layers],
        "blocks": [places * width * own for _ in kept.layers],
    }[step.recomputed]
    back = [
        of_layer + places * layer.gradients * computed - of_held
        for layer, of_layer, of_held in zip(kept.layers, whole, held, strict=True)
    ]
    return _Activations(
        sum(held) + places * kept.after * own + _loss(places, width, vocabulary, step),
        sum(held) + back[-1],
        held[0] + back[0],
    )


def _loss(places: int, width: int, vocabulary: int, step: Step) -> int:
    """Bytes of logits; by chunks, also of the gradients that are made with them."""
    if step.logits_chunk is None or places <= step.logits_chunk:
        return LOGITS * 4 * places * vocabulary
    logits, table = 4 * step.logits_chunk * vocabulary, 4 * width * vocabulary
    return places * width * BYTES[step.precision][0] + table + max(LOGITS * logits, logits + table)
