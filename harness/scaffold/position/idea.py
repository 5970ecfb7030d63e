"""A direction along which places lie."""

from __future__ import annotations

import torch
from torch import nn

from harness.models.position import Position


class MinePosition(Position):
    """embeddings + log(1 + t / scale) · direction. Nothing is added at place 0, and no place is the last."""

    roles = {"direction": "embedding"}

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.direction = nn.Parameter(torch.empty(width))  # the body draws all weights, by their roles

    def embed(self, embeddings_BTC: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        how_far = torch.log1p(positions[..., None] / self.scale)
        return embeddings_BTC + (how_far * self.direction).to(embeddings_BTC.dtype)
