"""down(activation(up(x)))."""

from __future__ import annotations

import torch
from torch import nn

from harness.models.activations import ACTIVATIONS


class MLP(nn.Module):
    """down(activation(up(x))) (Vaswani et al. 2017, equation 2)."""

    tensor_parallel = {"up": "columns", "down": "rows"}
    writes = ("down.weight",)

    def __init__(self, width: int, hidden: int, activation: str, bias: bool) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden, bias=bias)
        self.down = nn.Linear(hidden, width, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, hidden_BTC: torch.Tensor) -> tuple[torch.Tensor, dict[str, tuple[torch.Tensor, float]]]:
        return self.down(self.activation(self.up(hidden_BTC))), {}
