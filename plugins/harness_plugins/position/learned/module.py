"""One learned vector for each place."""

from __future__ import annotations

import torch
from torch import nn

from harness.models.position import Position


class Learned(Position):
    """first: row of the first place's vector."""

    def __init__(self, length: int, width: int, first: int = 0) -> None:
        super().__init__()
        self.first = first
        self.table = nn.Embedding(first + length, width)

    def embed(self, embeddings_BTC: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return embeddings_BTC + self.table(positions + self.first)
