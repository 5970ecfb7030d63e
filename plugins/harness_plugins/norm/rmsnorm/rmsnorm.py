"""x / √(mean(x²) + ε) · g, and what may be added to it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.RMSNorm):
    """x / √(mean(x²) + ε) · g + b (Zhang, Sennrich 2019, equation 4). around_one: g is 1 + weight."""

    def __init__(self, width: int, epsilon: float, gain: bool, bias: bool, around_one: bool) -> None:
        super().__init__(width, eps=epsilon, elementwise_affine=gain)
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.around_one = around_one
        # What is added to one begins at nothing, as a bias does.
        self.roles = {"weight": "bias" if around_one else "gain", "bias": "bias"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gain = 1.0 + self.weight if self.around_one else self.weight
        if gain is not None:
            x = x.to(gain.dtype)  # queries and keys are in less under autocast, for which no kernel is made
        normed = F.rms_norm(x, self.normalized_shape, gain, self.eps)
        return normed if self.bias is None else normed + self.bias
