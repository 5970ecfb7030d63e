"""Scores that fall linearly with distance."""

from __future__ import annotations

import math

import torch

from harness.models.position import Position


class Alibi(Position):
    """−slope · |distance| (Press et al. 2022, section 3). Distances count both ways alike where places see ahead."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def bias(self, queries: int, offset: int, causal: bool, device: torch.device) -> torch.Tensor:
        query = torch.arange(offset, offset + queries, device=device)[:, None]
        distance_QK = (query - torch.arange(offset + queries, device=device)).abs()
        return -slopes(self.heads, device)[None, :, None, None] * distance_QK


def slopes(heads: int, device: torch.device) -> torch.Tensor:
    """2^(−8h/n) for h of 1 … n, float32 of shape (heads), where n, the number of heads, is a power of two. Else those
    of the power below, and then, as in the authors' code, every second one of those of the power above."""
    power = 2 ** math.floor(math.log2(heads))
    head = torch.arange(heads, device=device, dtype=torch.float32)
    between = (head - power + 0.5) / power
    return 2.0 ** (-8 * torch.where(head < power, (head + 1) / power, between))
