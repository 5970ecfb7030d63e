"""A learned number for each head and bucket of distances, added to the scores."""

from __future__ import annotations

import math

import torch
from torch import nn

from harness.models.position import Position


class RelativeBias(Position):
    """Raffel et al. 2020, section 2.1. One table for all layers, as there."""

    def __init__(self, buckets: int, longest: int, heads: int) -> None:
        super().__init__()
        self.longest = longest
        self.table = nn.Embedding(buckets, heads)

    def bias(self, queries: int, offset: int, causal: bool, device: torch.device) -> torch.Tensor:
        keys = offset + queries
        ahead_R = torch.arange(
            1 - keys, queries, device=device
        )  # each distance once, from the last query's first key on
        values_HR = self.table(buckets(ahead_R, self.table.num_embeddings, self.longest, causal)).T
        # The keys of query q are the window of distances that begins queries − 1 − q later than the last query's.
        return values_HR.unfold(-1, keys, 1).flip(-2)[None]


def buckets(ahead: torch.Tensor, count: int, longest: int, causal: bool) -> torch.Tensor:
    """The bucket of each distance (int64, key − query). Half of them hold one distance each; the others' sizes grow by
    a constant factor up to `longest`. Unless `causal`, the second half of all is for keys ahead."""
    if causal:
        first, distance = torch.zeros_like(ahead), -ahead.clamp(max=0)
    else:
        count //= 2
        first, distance = (ahead > 0) * count, ahead.abs()
    exact = count // 2
    growth = (distance.clamp(min=exact) / exact).log() / math.log(longest / exact)
    shared = exact + (growth * (count - exact)).long().clamp(max=count - exact - 1)
    return first + torch.where(distance < exact, distance, shared)
