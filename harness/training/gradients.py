"""The global norm of gradients that may be spread over devices, each tensor in its own way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from harness.models.groups import mesh_of


def clip(parameters: Sequence[torch.nn.Parameter], largest: float | None) -> torch.Tensor:
    """Scales the gradients down to a global norm of at most `largest` (null: leaves them); returns their norm before.

    The 2-norm over all parameters of the whole model (Pascanu et al. 2013), on every rank the same.
    """
    kinds = _by_mesh(parameters)
    norm = combined([total_norm([p.grad for p in kind if p.grad is not None]) for kind in kinds])
    if largest is not None:
        for kind in kinds:
            clip_grads_with_norm_(kind, largest, norm)
    return norm


def total_norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The 2-norm of tensors that are all spread alike, as a whole scalar."""
    norm = get_total_norm(tensors)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def combined(norms: Sequence[torch.Tensor]) -> torch.Tensor:
    """The 2-norm of parts whose norms are known."""
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(list(norms)))


def _by_mesh(parameters: Sequence[torch.nn.Parameter]) -> list[list[torch.nn.Parameter]]:
    """Kernels that take many tensors at once take no mixture of meshes."""
    kinds: dict[object, list[torch.nn.Parameter]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            kinds.setdefault(mesh_of(parameter), []).append(parameter)
    return list(kinds.values())
