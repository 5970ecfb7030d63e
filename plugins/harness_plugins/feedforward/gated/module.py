"""down(activation(gate(x)) · up(x))."""

from __future__ import annotations

import torch
from torch import nn

from harness.models.activations import ACTIVATIONS


class Gated(nn.Module):
    """down(activation(gate(x)) · up(x)) (Shazeer 2020, equation 6)."""

    tensor_parallel = {"gate": "columns", "up": "columns", "down": "rows"}
    writes = ("down.weight",)

    def __init__(self, width: int, hidden: int, activation: str, bias: bool) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=bias)
        self.up = nn.Linear(width, hidden, bias=bias)
        self.down = nn.Linear(hidden, width, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, hidden_BTC: torch.Tensor) -> tuple[torch.Tensor, dict[str, tuple[torch.Tensor, float]]]:
        return self.down(self.activation(self.gate(hidden_BTC)) * self.up(hidden_BTC)), {}
