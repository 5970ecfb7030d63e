"""RWKV-4's time mixing and channel mixing (Peng et al. 2023, section 3.1)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from harness.models.recurrent.body import earlier
from harness_plugins.architecture.rwkv.wkv import wkv


class Shift(nn.Module):
    """μ x_t + (1 − μ) x_{t−1}, with a μ of each channel."""

    roles = {"share": "gain"}

    def __init__(self, width: int, power: float, added: float = 0.0) -> None:
        """At the start μ_i = (i / width)^power + added."""
        super().__init__()
        self.share = nn.Parameter(torch.empty(1, 1, width))
        self.power, self.added = power, added

    def forward(self, hidden_BTC: torch.Tensor, before_BTC: torch.Tensor) -> torch.Tensor:
        return (before_BTC + self.share * (hidden_BTC - before_BTC)).to(hidden_BTC.dtype)

    @torch.no_grad()
    def initialise(self) -> None:
        width = self.share.shape[-1]
        self.share.copy_((torch.arange(width) / width) ** self.power + self.added)


class TimeMix(nn.Module):
    """out(sigmoid(r_t) · wkv_t): what was before, weighed by keys that fade."""

    writes = ("out.weight",)
    roles = {"decay": "bias", "first": "bias"}

    def __init__(self, width: int, depth: float, above: float) -> None:
        """depth: 0 in the first layer, 1 in the last; above: the share of the layers before this one."""
        super().__init__()
        self.depth = depth
        self.keys_shift = Shift(width, 1 - above)
        self.values_shift = Shift(width, 1 - above, 0.3 * depth)
        self.receptance_shift = Shift(width, 0.5 * (1 - above))
        self.keys = nn.Linear(width, width, bias=False)
        self.values = nn.Linear(width, width, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.decay = nn.Parameter(torch.empty(width))  # the logarithm of what exponents lose from place to place
        self.first = nn.Parameter(torch.empty(width))  # what the place itself has beside its key

    def forward(
        self, hidden_BTC: torch.Tensor, stretches_BT: torch.Tensor | None, state: Any
    ) -> tuple[torch.Tensor, Any]:
        kept_B1C, sums = state or (None, None)
        (before_BTC,), kept_B1C = earlier(hidden_BTC, 1, stretches_BT, kept_B1C)
        keys_BTC = self.keys(self.keys_shift(hidden_BTC, before_BTC))
        values_BTC = self.values(self.values_shift(hidden_BTC, before_BTC))
        receptance_BTC = self.receptance(self.receptance_shift(hidden_BTC, before_BTC)).sigmoid()
        whole = torch.promote_types(hidden_BTC.dtype, torch.float32)
        mixed_BTC, sums = wkv(keys_BTC, values_BTC, self.decay.to(whole).exp(), self.first, stretches_BT, sums)
        return self.out((receptance_BTC * mixed_BTC).to(hidden_BTC.dtype)), (kept_B1C, sums)

    @torch.no_grad()
    def initialise(self) -> None:
        """Half-lives from short to long over the channels, and zigzags (Peng et al. 2023, appendix E)."""
        channel = torch.arange(len(self.decay))
        place = channel / max(1, len(channel) - 1)
        self.decay.copy_(-5 + 8 * place ** (0.7 + 1.3 * self.depth))
        self.first.copy_(math.log(0.3) + 0.5 * ((channel + 1) % 3 - 1))


class ChannelMix(nn.Module):
    """sigmoid(r_t) · out(relu(k_t)²), from each place and the one before."""

    writes = ("out.weight",)

    def __init__(self, width: int, hidden: int, above: float) -> None:
        super().__init__()
        self.keys_shift = Shift(width, 1 - above)
        self.receptance_shift = Shift(width, 1 - above)
        self.keys = nn.Linear(width, hidden, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(
        self, hidden_BTC: torch.Tensor, stretches_BT: torch.Tensor | None, kept_B1C: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        (before_BTC,), kept_B1C = earlier(hidden_BTC, 1, stretches_BT, kept_B1C)
        computed_BTC = self.out(self.keys(self.keys_shift(hidden_BTC, before_BTC)).relu().square())
        receptance_BTC = self.receptance(self.receptance_shift(hidden_BTC, before_BTC)).sigmoid()
        return receptance_BTC * computed_BTC, kept_B1C
