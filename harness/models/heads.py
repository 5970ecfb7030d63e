"""The module of `harness.interfaces.attention.HeadsConfig`: four projections, and heads between them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from harness.interfaces.attention import HeadsConfig
from harness.models.position import Position


class Heads(nn.Module):
    """Projects to heads of D channels and back; a subclass mixes what stands between.

    A rank of tensor parallelism holds some of the heads, so how many there are is read from the tensors.
    """

    tensor_parallel = {"queries": "columns", "keys": "columns", "values": "columns", "out": "rows"}

    #: Names of the parameters whose product is added to the residual stream.
    writes = ("out.weight",)

    def __init__(self, config: HeadsConfig, width: int, position: Position) -> None:
        super().__init__()
        self.head_width = config.head_width(width)
        self.queries, self.keys, self.values = (
            nn.Linear(width, config.mixed(width), bias=config.bias) for _ in range(3)
        )
        self.out = nn.Linear(config.mixed(width), width, bias=config.bias)
        self._rotate = position.rotate  # a bound method: the position belongs to the body, not to each layer

    def projected(self, hidden_BTC: torch.Tensor, positions: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values, each (B, heads, T, D); queries and keys are turned by their places."""
        queries_BTHD = self._rotate(self._heads(self.queries(hidden_BTC)), positions)
        keys_BTHD = self._rotate(self._heads(self.keys(hidden_BTC)), positions)
        values_BTHD = self._heads(self.values(hidden_BTC))
        return queries_BTHD.transpose(1, 2), keys_BTHD.transpose(1, 2), values_BTHD.transpose(1, 2)

    def joined(self, mixed_BHTD: torch.Tensor) -> torch.Tensor:
        """hidden_BTC."""
        joined_BTC: torch.Tensor = self.out(mixed_BHTD.transpose(1, 2).flatten(2))
        return joined_BTC

    def _heads(self, projected_BTC: torch.Tensor) -> torch.Tensor:
        return projected_BTC.unflatten(-1, (-1, self.head_width))
