"""A convolution over the last few places, half of whose channels open and close the other half."""

from __future__ import annotations

import torch
from torch import nn

from harness.models.recurrent.body import earlier


class GatedConvolution(nn.Module):
    """values · sigmoid(gates), both linear in the last K places (Dauphin et al. 2017, equation 1)."""

    def __init__(self, width: int, places: int) -> None:
        super().__init__()
        self.places = places
        self.taps = nn.Linear(places * width, 2 * width, bias=False)

    def forward(
        self, hidden_BTC: torch.Tensor, stretches_BT: torch.Tensor | None, state_BKC: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden_BTC, and the last K − 1 places. `earlier` keeps documents and padding apart."""
        before, state_BKC = earlier(hidden_BTC, self.places - 1, stretches_BT, state_BKC)
        values_BTC, gates_BTC = self.taps(torch.cat([hidden_BTC, *before], dim=-1)).chunk(2, dim=-1)
        return values_BTC * torch.sigmoid(gates_BTC), state_BKC
