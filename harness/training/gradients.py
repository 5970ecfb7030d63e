"""The global norm of gradients that may be spread over devices, each tensor in its own way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm


def clip(parameters: Sequence[torch.nn.Parameter], largest: float | None) -> torch.Tensor:
    """Scales the gradients down to a global norm of at most `largest` (null: leaves them); returns their norm before.

    The 2-norm over all parameters of the whole model (Pascanu et al. 2013), on every rank the same.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = whole_norm(gradients)
    if largest is not None:
        share = torch.clamp(largest / (norm + 1e-6), max=1.0)
        torch._foreach_mul_([_here(gradient) for gradient in gradients], share)
    return norm


def whole_norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The 2-norm over all of them together, wherever their parts are.

    Each rank squares what it holds, divided by the number of ranks that hold the same; one sum over all ranks follows.
    """
    if not any(isinstance(tensor, DTensor) for tensor in tensors):
        return get_total_norm(tensors)
    copies: dict[int, list[torch.Tensor]] = {}
    for tensor in tensors:
        copies.setdefault(_holders(tensor), []).append(_here(tensor))
    square = sum(get_total_norm(kind).square() / holders for holders, kind in copies.items())
    assert isinstance(square, torch.Tensor)
    dist.all_reduce(square)
    return square.sqrt()


def _here(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _holders(tensor: torch.Tensor) -> int:
    """How many ranks hold the same part of a tensor; all of them one that is not spread."""
    parts = 1
    if isinstance(tensor, DTensor):
        for dimension, placement in enumerate(tensor.placements):
            parts *= 1 if placement.is_replicate() else tensor.device_mesh.size(dimension)
    return dist.get_world_size() // parts
