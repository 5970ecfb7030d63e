"""One learned vector for each place."""

from __future__ import annotations

import torch
from torch import nn

from harness.models.position import Position


class Learned(Position):
    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(length, width)

    def embed(self, embeddings_BTC: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return embeddings_BTC + self.table(positions)
