"""down(activation(gate(x)) · up(x))."""

from __future__ import annotations

import torch
from torch import nn

from harness.models.activations import ACTIVATIONS


class Gated(nn.Module):
    """down(activation(gate(x)) · up(x)) (Shazeer 2020, equation 6). One matrix makes gate and up, in this order."""

    writes = ("down.weight",)

    def __init__(self, width: int, hidden: int, activation: str, bias: bool) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=bias)
        self.down = nn.Linear(hidden, width, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, hidden_BTC: torch.Tensor) -> tuple[torch.Tensor, dict[str, tuple[torch.Tensor, float]]]:
        gate_BTH, up_BTH = self.gate_up(hidden_BTC).chunk(2, dim=-1)
        return self.down(self.activation(gate_BTH) * up_BTH), {}
