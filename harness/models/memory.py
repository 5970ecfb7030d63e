"""The bytes of tensors that one training step holds at most, from the closed forms of the Configs, without torch.

Attention is taken to be computed by a fused kernel, which keeps queries, keys, values, its result and one number for
each query (Dao et al. 2022). Where it is not (dropout of attention weights on CPUs), it keeps all weights as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from harness.interfaces.adapter import AdapterCounts
from harness.interfaces.architecture import Activations, ArchitectureConfig
from harness.models.counting import BYTES, account

#: Numbers for each logit at once: its log-probability, and two gradients. In float32 always.
LOGITS = 3


@dataclass(frozen=True)
class Step:
    """How one optimizer step is carried out. micro_batch: sequences in one forward pass, of `micro_batches`.
    optimizer_numbers: numbers of optimizer state for each parameter (AdamW: 2). update_numbers: those that an update
    makes beside it. recomputed: as `trainer.activation_checkpointing`. adapter: what alone is trained, where there is
    one; the model is taken to keep all that it would without it. source_length: of what an encoder–decoder reads."""

    sequence_length: int
    micro_batch: int
    micro_batches: int = 1
    precision: str = "fp32"
    recomputed: str = "none"
    logits_chunk: int | None = None
    optimizer_numbers: float = 2.0
    update_numbers: float = 0.0
    adapter: AdapterCounts | None = None
    source_length: int = 0


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes. copies: of the weights, as autocast keeps them for matrix products; those of frozen weights count among
    the activations. activations: at the moment when most bytes are held besides weights, copies and optimizer state;
    None where the architecture does not say. peak: of all together, which is less than their sum, since gradients come
    as activations go."""

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
    whole, beside = model.total * own, step.adapter.parameters * own if step.adapter else 0
    cast = step.adapter.parameters if step.adapter else matrices  # those that are trained, once for a step
    copies = cast * computed if computed < own else 0
    weights, gradients = whole + beside, beside or whole
    optimizer = round(step.optimizer_numbers * gradients)
    kept = config.activations(*filter(None, (step.sequence_length, step.source_length)))
    if kept is None:
        return TrainingMemory(weights, gradients, optimizer, copies, None, weights + gradients + optimizer + copies)
    activations, table = _activations(kept, vocabulary, step, matrices), vocabulary * kept.width * own
    before = gradients if step.micro_batches > 1 else 0  # of the micro-batches before
    moments = (
        before + activations.at_loss,
        before + (0 if beside else table) + activations.at_last_layer,
        (beside or matrices * own) + activations.at_first_layer,
        gradients + round(step.update_numbers * gradients),
        0
        if beside
        else weights + 2 * shared * own,  # a shared table's gradients, look-up's and matrix's, and their sum
    )
    peak = weights + optimizer + copies + max(moments)
    return TrainingMemory(weights, gradients, optimizer, copies, max(activations), peak)


class _Activations(NamedTuple):
    """Bytes of activations and of their gradients, at the moments when there are most; the loss's with what it holds of
    the head's gradient."""

    at_loss: int
    at_last_layer: int  #: the first that the backward pass reaches
    at_first_layer: int


def _activations(kept: Activations, vocabulary: int, step: Step, matrices: int) -> _Activations:
    own, computed = BYTES[step.precision]
    places, width = step.micro_batch * step.sequence_length, kept.width
    if step.adapter:
        kept = _with_adapter(kept, step.adapter)
    of_score = 8 + (computed if computed < 4 else 0)
    whole = [
        places * (layer.stream * own + layer.computed * computed + layer.scores * of_score) for layer in kept.layers
    ]
    held = {
        "none": whole,
        "selective": [places * (width * own + (layer.products + layer.scores) * computed) for layer in kept.layers],
        "blocks": [places * width * own for _ in kept.layers],
    }[step.recomputed]
    back = [
        of_layer + places * max(layer.gradients * computed, layer.scores * (16 - of_score)) - of_held
        for layer, of_layer, of_held in zip(kept.layers, whole, held, strict=True)
    ]
    casts, mask = _casts(matrices, vocabulary * width, len(held), step), places * kept.mask * computed
    return _Activations(
        mask + sum(held) + places * kept.after * own + _loss(places, kept, vocabulary, step) + casts.at_loss,
        mask + sum(held) + back[-1] + casts.at_last_layer,
        mask + held[0] + back[0] + casts.at_first_layer,
    )


def _casts(matrices: int, table: int, layers: int, step: Step) -> _Activations:
    """Copies that autocast makes of frozen matrices: each for the way back through its own layer alone."""
    own, computed = BYTES[step.precision]
    if step.adapter is None or computed == own:
        return _Activations(0, 0, 0)
    head, body = table * computed, (matrices - table) * computed
    held, one = body if step.recomputed == "none" else 0, body // layers
    return _Activations(held + head, max(held, one), one)


def _with_adapter(kept: Activations, adapter: AdapterCounts) -> Activations:
    """What an adapter keeps, shared out evenly over the layers. A norm whose gain is frozen keeps its input alone."""
    activations, products = (n // len(kept.layers) for n in (adapter.activations, adapter.products))
    layers = [
        replace(
            layer,
            stream=min(layer.stream, 2 * kept.width),
            computed=layer.computed + activations,
            products=layer.products + products,
        )
        for layer in kept.layers
    ]
    return replace(kept, layers=layers, after=min(kept.after, 2 * kept.width))


def _loss(places: int, kept: Activations, vocabulary: int, step: Step) -> int:
    """Bytes of logits; by chunks, also of the gradients that are made with them."""
    own, computed = BYTES[step.precision]
    of_logit = LOGITS * 4 + kept.logits * computed
    if step.logits_chunk is None or places <= step.logits_chunk:
        return of_logit * places * vocabulary
    logits, table = step.logits_chunk * vocabulary, 0 if step.adapter else 4 * kept.width * vocabulary
    return places * kept.width * own + table + max(of_logit * logits, 4 * logits + table)
