"""What learns without a gradient, by what it has seen: the bias of a router of experts, the counts of n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harness.interfaces.batch import Batch


@dataclass(frozen=True)
class Seen:
    """One optimizer step in the eyes of a module that learns by it.

    batches: the micro-batches that this rank has seen, on its device. load_E: of a module that shares places out to
    experts (`harness.models.load`), how many each was given, by all ranks, float64.
    """

    batches: Sequence[Batch]
    load_E: torch.Tensor | None = None


def seen_in(method: Any, batches: Sequence[Batch], load_E: torch.Tensor | None = None) -> Seen:
    """Of the micro-batches of a method, those that have targets of their own: its ``parts``, where a batch holds
    several."""
    parts = getattr(method, "parts", lambda batch: [batch])
    return Seen([part for batch in batches for part in parts(batch)], load_E)


def learners(model: nn.Module) -> dict[str, Any]:
    """The modules that learn by what they have seen, by name: those whose ``learns`` is true. After each step of the
    optimizer the loop calls their ``learn(seen)``."""
    return {name: module for name, module in model.named_modules() if getattr(module, "learns", False)}
