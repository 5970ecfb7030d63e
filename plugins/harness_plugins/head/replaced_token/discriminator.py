"""What tells tokens of a text from those that replace them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Discriminator(nn.Module):
    """hidden_…C → W₂ GELU(W₁ hidden + b₁) + b₂, two logits: of the text's own token, and of another one (Clark et al.
    2020, section 2; the hidden layer is in their code)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense, self.out = nn.Linear(width, width), TwoClasses(width, 2)

    def forward(self, hidden_BTC: torch.Tensor) -> torch.Tensor:
        logits_BT2: torch.Tensor = self.out(F.gelu(self.dense(hidden_BTC)))
        return logits_BT2


class TwoClasses(nn.Linear):
    """Its outputs do not grow with the width."""

    reads_out = ("weight",)
