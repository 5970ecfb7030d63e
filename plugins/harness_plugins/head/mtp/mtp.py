"""Hidden states for the tokens behind the next one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Ahead(nn.Module):
    """hidden_BTC and an offset from 2 on → hidden_BTC + SiLU(W hidden_BTC), which the language model's head makes
    logits of the token at that offset of (Cai et al. 2024, section 2.1.1)."""

    def __init__(self, width: int, offsets: int) -> None:
        super().__init__()
        self.offsets = offsets
        self.blocks = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(offsets - 1))

    def forward(self, hidden_BTC: torch.Tensor, offset: int = 2) -> torch.Tensor:
        return hidden_BTC + F.silu(self.blocks[offset - 2](hidden_BTC))
