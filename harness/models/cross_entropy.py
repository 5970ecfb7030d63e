"""Cross-entropy from hidden states, with the logits of all places or of a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

#: logits_NV and columns of N rows to a sum; or to several, of which the first is learned and the others are told.
Sums = Callable[..., torch.Tensor]


def cross_entropy(
    head: Any, hidden_BTC: torch.Tensor, targets_BT: torch.Tensor, weights_BT: torch.Tensor, chunk: int | None = None
) -> torch.Tensor:
    """Σ weight · −log p(target) over all places, in nats, computed in float32 (float64 where the logits are).

    head: hidden states to logits. chunk: places whose logits are held at once, in both passes; None: all of them. With
    a chunk, head is a module that keeps no other tensors for the backward pass than its parameters. One that counts
    need not depend on its input by a gradient.
    """
    hidden_NC, targets_N, weights_N = hidden_BTC.flatten(0, 1), targets_BT.flatten(), weights_BT.flatten()
    if chunk is None or len(hidden_NC) <= chunk:
        return _nats(head(hidden_BTC).flatten(0, 1), targets_N, weights_N)
    return summed(_nats, head, hidden_NC, (targets_N, weights_N), chunk)


def summed(
    sums: Sums, head: Any, hidden_NC: torch.Tensor, columns: Sequence[torch.Tensor], chunk: int | None = None
) -> torch.Tensor:
    """What `sums` makes of the logits of all places and of the columns beside them, added up over chunks. head, chunk:
    as above. Only hidden_NC and what head is made of have gradients."""
    if chunk is None or len(hidden_NC) <= chunk:
        return sums(head(hidden_NC), *columns)
    if not torch.is_grad_enabled():
        parts = zip(hidden_NC.split(chunk), *(column.split(chunk) for column in columns), strict=True)
        return torch.stack([sums(head(own_NC), *own) for own_NC, *own in parts]).sum(0)
    trained = [parameter for parameter in head.parameters() if parameter.requires_grad]
    found: torch.Tensor = _ByChunks.apply(sums, head, hidden_NC, columns, chunk, *trained)
    return found


def _nats(logits_NV: torch.Tensor, targets_N: torch.Tensor, weights_N: torch.Tensor) -> torch.Tensor:
    logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    return (F.cross_entropy(logits_NV, targets_N, reduction="none") * weights_N).sum()


class _ByChunks(torch.autograd.Function):
    """Each chunk's gradients are made with its loss, so that its logits are computed once and forgotten. One number
    comes back from the rest of the loss, by which they are multiplied."""

    @staticmethod
    def forward(
        ctx: Any,
        sums: Sums,
        head: nn.Module,
        hidden_NC: torch.Tensor,
        columns: Sequence[torch.Tensor],
        chunk: int,
        *trained: nn.Parameter,
    ) -> torch.Tensor:
        gradient_NC = torch.empty_like(hidden_NC)
        gradients = [torch.zeros_like(p, dtype=torch.promote_types(p.dtype, torch.float32)) for p in trained]
        parts = zip(*(each.split(chunk) for each in (gradient_NC, hidden_NC, *columns)), strict=True)
        found = [_add_gradients(sums, head, trained, gradients, *part) for part in parts]
        ctx.save_for_backward(gradient_NC, *gradients)
        ctx.types = [parameter.dtype for parameter in trained]
        return torch.stack(found).sum(0)

    @staticmethod
    def backward(ctx: Any, *factors: torch.Tensor) -> Any:
        gradient_NC, *gradients = ctx.saved_tensors
        factor = _first(factors[0])
        scaled = [(gradient * factor).to(kind) for gradient, kind in zip(gradients, ctx.types, strict=True)]
        return None, None, (gradient_NC * factor).to(gradient_NC.dtype), None, None, *scaled


def _add_gradients(
    sums: Sums,
    head: nn.Module,
    trained: Sequence[nn.Parameter],
    gradients: Sequence[torch.Tensor],
    written_NC: torch.Tensor,
    hidden_NC: torch.Tensor,
    *columns: torch.Tensor,
) -> torch.Tensor:
    """One chunk's sums. Its gradients are added to those of the parameters, and written for the hidden states."""
    with torch.enable_grad():
        own_NC = hidden_NC.detach().requires_grad_()
        of_chunk = sums(head(own_NC), *columns)
        found_NC, *found = torch.autograd.grad(_first(of_chunk), (own_NC, *trained), materialize_grads=True)
    written_NC.copy_(found_NC)
    for gradient, more in zip(gradients, found, strict=True):
        gradient += more
    return of_chunk.detach()


def _first(sums: torch.Tensor) -> torch.Tensor:
    """Of one or several."""
    return sums.flatten()[0]
