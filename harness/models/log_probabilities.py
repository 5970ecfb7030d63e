"""Log-probabilities of whole answers, with no more logits at hand than their tokens need."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint


def log_probabilities(
    head: Any, hidden_BTC: torch.Tensor, targets_BT: torch.Tensor, counts_BT: torch.Tensor, chunk: int | None = None
) -> torch.Tensor:
    """logp_B: Σ log p(target) over the places of a row that count, in nats; each in float32, their sum in float64,
    since what is wanted of two such sums is a difference far smaller than they are.

    head: hidden states to logits, which are made where `counts_BT` is not zero. chunk: places whose logits are held at
    once, in both passes; in the backward pass they are computed again. None: all of them.
    """
    rows_N, places_N = counts_BT.nonzero(as_tuple=True)
    hidden_NC, targets_N = hidden_BTC[rows_N, places_N], targets_BT[rows_N, places_N]
    if chunk is None or len(hidden_NC) <= chunk:
        logp_N = _of_targets(head, hidden_NC, targets_N)
    else:
        pieces = zip(hidden_NC.split(chunk), targets_N.split(chunk), strict=True)
        logp_N = torch.cat([checkpoint(_of_targets, head, *piece, use_reentrant=False) for piece in pieces])
    return torch.zeros(len(counts_BT), dtype=torch.float64, device=logp_N.device).index_add(0, rows_N, logp_N.double())


def _of_targets(head: Any, hidden_NC: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    logits_NV = head(hidden_NC)
    return -F.cross_entropy(
        logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32)), targets_N, reduction="none"
    )
