"""A linear map without bias: a constant changes no comparison (Bradley, Terry 1952)."""

from __future__ import annotations

import torch
from torch import nn


class Reward(nn.Linear):
    """hidden_…C → reward_…, one number for each hidden state.

    It starts with a standard deviation of 1/√(width + 1) (Ziegler et al. 2019; Stiennon et al. 2020): rewards of about
    one, whatever the width.
    """

    roles = {"weight": "matrix"}
    reads_out = ("weight",)

    def __init__(self, width: int) -> None:
        super().__init__(width, 1, bias=False)
        self.starts = {"weight": (width + 1) ** -0.5}

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input).squeeze(-1)
