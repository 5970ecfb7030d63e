"""down(gate(x) · up(x))."""

from __future__ import annotations

import torch
from torch import nn


class MineFeedforward(nn.Module):
    """down(gate(x) · up(x)) (Shazeer 2020, equation 5)."""

    tensor_parallel = {"gate": "columns", "up": "columns", "down": "rows"}
    writes = ("down.weight",)

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, hidden_BTC: torch.Tensor) -> tuple[torch.Tensor, dict[str, tuple[torch.Tensor, float]]]:
        """hidden_BTC, and no auxiliary loss."""
        return self.down(self.gate(hidden_BTC) * self.up(hidden_BTC)), {}
