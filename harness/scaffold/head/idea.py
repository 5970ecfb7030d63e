"""Hidden states to logits."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import linear, normalize


class MineHead(nn.Linear):
    """logits_BTV = sharpness · cos(hidden, token)."""

    def __init__(self, width: int, vocabulary: int, sharpness: float) -> None:
        super().__init__(width, vocabulary, bias=False)
        self.sharpness = sharpness

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self.sharpness * linear(normalize(input, dim=-1), normalize(self.weight, dim=-1))
