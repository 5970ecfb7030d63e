"""A vector for each bucket of distances, which the attention of each layer projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from harness.models.position import Position

if TYPE_CHECKING:
    from harness_plugins.position.disentangled import DisentangledConfig


class Disentangled(Position):
    """He et al. 2021, section 3.1, equation 3, with the buckets of DeBERTa-v2. One table for all layers, as there.

    Distances are of places in the row, as those of a bias are.
    """

    def __init__(self, config: DisentangledConfig, width: int) -> None:
        super().__init__()
        self.buckets, self.longest = config.buckets, config.longest
        self.table = nn.Embedding(config.rows, width)
        self.norm = nn.Identity() if config.norm is None else config.norm.build(width)

    def prepare(self, positions: torch.Tensor) -> torch.Tensor:
        """The vectors of all rows, (rows, width)."""
        vectors_RC: torch.Tensor = self.norm(self.table.weight)
        return vectors_RC

    def rows(self, queries: int, offset: int, device: torch.device) -> torch.Tensor:
        """The row of the distance from each key to each query, int64 of shape (queries, offset + queries). Query q
        stands at place offset + q, key k at place k."""
        keys, each_way = offset + queries, self.table.num_embeddings // 2
        behind = torch.arange(1 - keys, keys, device=device)  # each distance once, and its row
        if self.buckets is not None:
            behind = bucket(behind, self.buckets, self.longest)
        row = (behind + each_way).clamp(0, 2 * each_way - 1)
        query = torch.arange(offset, keys, device=device)[:, None]
        return row[query - torch.arange(keys, device=device) + keys - 1]


def bucket(behind: torch.Tensor, count: int, longest: int) -> torch.Tensor:
    """The bucket of each distance (int64, query − key), with its sign. The first half of `count` hold one distance
    each; the others' sizes grow by a constant factor, so that the last one ends at `longest` − 1. Distances beyond come
    to numbers beyond. In float32, as in the authors' code: where a bound is nearly whole, rounding decides."""
    exact = count // 2
    distance = behind.abs()
    growth = (distance.clamp(min=exact) / exact).log() / torch.tensor((longest - 1) / exact).log()
    shared = exact + (growth * (exact - 1)).ceil().long()
    return torch.where(distance <= exact, behind, behind.sign() * shared)
