"""Gated linear attention's mixer (Yang et al. 2024, section 4.4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from harness.models.recurrent.chunks import recurrence
from harness_plugins.architecture.gla import GLAConfig


class Mixer(nn.Module):
    """S_t = diag(α_t) S_{t−1} + k_t v_tᵀ, o_t = S_tᵀ q_t / √K for each head of K channels; its norm, gated, is what
    comes out.

    α_t = sigmoid(x_t W₁ W₂ + b)^(1/τ), one for each channel of the keys.
    """

    writes = ("out.weight",)

    def __init__(self, config: GLAConfig) -> None:
        super().__init__()
        width, heads = config.width, config.attention_heads
        self.heads, self.chunk, self.temperature = heads, config.chunk, config.decay_temperature
        self.queries = nn.Linear(width, config.keys, bias=False)
        self.keys = nn.Linear(width, config.keys, bias=False)
        self.values = nn.Linear(width, config.values, bias=False)
        self.decay_down = nn.Linear(width, config.decay_rank, bias=False)
        self.decay_up = nn.Linear(config.decay_rank, config.keys)
        self.norm = config.norm.build(config.values // heads)
        self.gate = nn.Linear(width, config.values)
        self.out = nn.Linear(config.values, width, bias=False)

    def forward(
        self, hidden_BTC: torch.Tensor, stretches_BT: torch.Tensor | None, state_BHKV: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        queries_BTHK, keys_BTHK, values_BTHV, decays_BTHK = (
            projected.unflatten(-1, (self.heads, -1))
            for projected in (
                self.queries(hidden_BTC),
                self.keys(hidden_BTC),
                self.values(hidden_BTC),
                self.decay_up(self.decay_down(hidden_BTC)),
            )
        )
        whole = torch.promote_types(hidden_BTC.dtype, torch.float32)
        mixed_BTHV, state_BHKV = recurrence(
            queries_BTHK * queries_BTHK.shape[-1] ** -0.5,
            keys_BTHK,
            values_BTHV,
            F.logsigmoid(decays_BTHK.to(whole)) / self.temperature,
            self.chunk,
            stretches_BT,
            state_BHKV,
        )
        normed_BTC = self.norm(mixed_BTHV.to(hidden_BTC.dtype)).flatten(2)
        return self.out(normed_BTC * F.silu(self.gate(hidden_BTC))), state_BHKV
