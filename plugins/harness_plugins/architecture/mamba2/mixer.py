"""Mamba-2's mixer (Dao, Gu 2024, section 7 and figure 6)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from harness.models.recurrent.body import earlier
from harness.models.recurrent.chunks import recurrence
from harness_plugins.architecture.mamba2 import Mamba2Config

#: Range that decay rates (A) and steps (Δ) are drawn from at the start, and the smallest step.
RATES, STEPS, SMALLEST_STEP = (1.0, 16.0), (1e-3, 1e-1), 1e-4


class Convolution(nn.Module):
    """silu(Σ_j w_j x_{t−j} + b), each channel by itself, over places of the same stretch. The last tap is the newest
    place's."""

    roles = {"weight": "gain", "bias": "bias"}

    def __init__(self, channels: int, taps: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, taps))
        self.bias = nn.Parameter(torch.empty(channels)) if bias else None

    def forward(
        self, hidden_BTC: torch.Tensor, stretches_BT: torch.Tensor | None, kept_BKC: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        newest_C, *before_C = self.weight.squeeze(1).unbind(1)[::-1]
        places, kept_BKC = earlier(hidden_BTC, len(before_C), stretches_BT, kept_BKC)
        summed_BTC = hidden_BTC * newest_C
        for tap_C, place_BTC in zip(before_C, places, strict=True):
            summed_BTC = summed_BTC + place_BTC * tap_C
        return F.silu(summed_BTC if self.bias is None else summed_BTC + self.bias), kept_BKC

    @torch.no_grad()
    def initialise(self) -> None:
        """As `nn.Conv1d` does."""
        bound = self.weight.shape[-1] ** -0.5
        self.weight.uniform_(-bound, bound)


class GatedNorm(nn.Module):
    """RMSNorm of x · silu(gate), in each group of heads by itself."""

    roles = {"weight": "gain"}

    def __init__(self, width: int, groups: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.groups, self.epsilon = groups, epsilon

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        grouped = (x * F.silu(gate)).unflatten(-1, (self.groups, -1))
        return F.rms_norm(grouped, grouped.shape[-1:], eps=self.epsilon).flatten(-2) * self.weight


class Mixer(nn.Module):
    """S_t = exp(−Δ_t A) S_{t−1} + Δ_t k_t v_tᵀ, y_t = S_tᵀ q_t + D v_t for each head, gated and normed.

    Values, keys and queries (the paper's X, B and C) come from short convolutions, the step Δ_t from a softplus.
    """

    writes = ("out.weight",)
    roles = {"A_log": "bias", "dt_bias": "bias", "D": "gain"}

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        width, inner, heads, shared = config.width, config.inner, config.state_heads, config.groups * config.state
        self.heads, self.groups, self.chunk = heads, config.groups, config.chunk
        self.gate = nn.Linear(width, inner, bias=config.bias)
        self.values = nn.Linear(width, inner, bias=config.bias)
        self.keys = nn.Linear(width, shared, bias=config.bias)
        self.queries = nn.Linear(width, shared, bias=config.bias)
        self.steps = nn.Linear(width, heads, bias=config.bias)
        self.values_convolution = Convolution(inner, config.taps, config.convolution_bias)
        self.keys_convolution = Convolution(shared, config.taps, config.convolution_bias)
        self.queries_convolution = Convolution(shared, config.taps, config.convolution_bias)
        self.A_log = nn.Parameter(torch.empty(heads))
        self.dt_bias = nn.Parameter(torch.empty(heads))
        self.D = nn.Parameter(torch.empty(heads))
        self.norm = GatedNorm(inner, config.groups, config.norm_epsilon)
        self.out = nn.Linear(inner, width, bias=config.bias)

    def forward(
        self,
        hidden_BTC: torch.Tensor,
        stretches_BT: torch.Tensor | None,
        state: tuple[torch.Tensor | None, ...] | None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        kept_v, kept_k, kept_q, state_BHKV = state or (None,) * 4
        values_BTC, kept_v = self.values_convolution(self.values(hidden_BTC), stretches_BT, kept_v)
        keys_BTC, kept_k = self.keys_convolution(self.keys(hidden_BTC), stretches_BT, kept_k)
        queries_BTC, kept_q = self.queries_convolution(self.queries(hidden_BTC), stretches_BT, kept_q)
        steps_BTH = F.softplus((self.steps(hidden_BTC) + self.dt_bias).to(self.precision(hidden_BTC)))
        log_decay_BTH = -steps_BTH * self.A_log.to(steps_BTH.dtype).exp()
        values_BTHP = values_BTC.unflatten(-1, (self.heads, -1))
        mixed_BTHP, state_BHKV = recurrence(
            queries_BTC.unflatten(-1, (self.groups, -1)),
            keys_BTC.unflatten(-1, (self.groups, -1)),
            values_BTHP * steps_BTH[..., None],
            log_decay_BTH[..., None],
            self.chunk,
            stretches_BT,
            state_BHKV,
        )
        mixed_BTHP = mixed_BTHP + values_BTHP * self.D[:, None]
        normed_BTC = self.norm(mixed_BTHP.flatten(2), self.gate(hidden_BTC))
        return self.out(normed_BTC.to(hidden_BTC.dtype)), (kept_v, kept_k, kept_q, state_BHKV)

    @staticmethod
    def precision(x: torch.Tensor) -> torch.dtype:
        return torch.promote_types(x.dtype, torch.float32)

    @torch.no_grad()
    def initialise(self) -> None:
        """A uniform, and Δ log-uniform where the projection gives nothing, as the authors' code draws them."""
        self.A_log.uniform_(*RATES).log_()
        steps = self.dt_bias.uniform_(*map(math.log, STEPS)).exp().clamp(min=SMALLEST_STEP)
        self.dt_bias.copy_(steps + (-torch.expm1(-steps)).log())  # the inverse of softplus
        self.D.fill_(1.0)
