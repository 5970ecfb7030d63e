"""γ · tanh(α x) + β."""

from __future__ import annotations

import torch
from torch import nn


class MineNorm(nn.Module):
    """γ · tanh(α x) + β (Zhu et al. 2025, equation 2)."""

    roles = {"steepness": "gain", "gain": "gain", "bias": "bias"}

    def __init__(self, width: int, start: float) -> None:
        super().__init__()
        self.start = start
        self.steepness = nn.Parameter(torch.ones(1))  # times `start`, since gains begin at one
        self.gain = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, hidden_BTC: torch.Tensor) -> torch.Tensor:
        return self.gain * torch.tanh(self.start * self.steepness * hidden_BTC) + self.bias
