"""A router, and experts that each compute the tokens given to them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.models.auxiliary import Losses
from harness.models.learners import Seen
from harness_plugins.feedforward.mixture_of_experts import MixtureOfExpertsConfig


class Router(nn.Module):
    """Gives each token to top_k experts. Computed in float32 under any precision (Fedus et al. 2022, section 2.4).

    bias: added to the scores where experts are chosen, and nowhere else; no gradient moves it (Wang et al. 2024).
    """

    roles = {"weight": "matrix"}
    reads_out = ("weight",)
    bias: Any

    def __init__(self, config: MixtureOfExpertsConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Linear(width, config.experts, bias=False).weight
        self.register_buffer("bias", torch.zeros(config.experts) if config.bias_rate else None)
        self.load_E: Any = None
        self.real_BT: torch.Tensor | None = None

    def forward(self, hidden_BTC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Losses]:
        """chosen_BTK, int64; their weights_BTK, float32; how many places each expert is given, with padding; losses."""
        device = hidden_BTC.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
            logits_BTE = F.linear(hidden_BTC.float(), self.weight.float())
        scores_BTE = logits_BTE.softmax(-1) if self.config.score == "softmax" else logits_BTE.sigmoid()
        chosen_BTK = self._choose(scores_BTE.detach())
        weights_BTK = scores_BTE.gather(-1, chosen_BTK)
        if self.config.normalise:
            weights_BTK = weights_BTK / (weights_BTK.sum(-1, keepdim=True) + 1e-20)

        load_BE, real_BE = self._loads(chosen_BTK)
        if self.load_E is not None:
            self.load_E = self.load_E + real_BE.sum(0)
        losses = self._losses(logits_BTE, scores_BTE, real_BE) if self.training else {}
        return chosen_BTK, weights_BTK * self.config.scale, load_BE.sum(0), losses

    def _loads(self, chosen_BTK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How many places of each row each expert is given, with padding and without."""
        experts_E = torch.arange(self.config.experts, device=chosen_BTK.device)
        load_BE = (chosen_BTK.flatten(1)[..., None] == experts_E).sum(1)
        if self.real_BT is None:
            return load_BE, load_BE
        real_BTK = chosen_BTK.masked_fill(~self.real_BT[..., None], -1)  # no expert's number
        return load_BE, (real_BTK.flatten(1)[..., None] == experts_E).sum(1)

    def _choose(self, scores_BTE: torch.Tensor) -> torch.Tensor:
        config = self.config
        if self.bias is not None:
            scores_BTE = scores_BTE + self.bias
        if config.chosen_groups < config.groups:  # DeepSeek-V3, section 2.1.2
            by_group_BTGE = scores_BTE.unflatten(-1, (config.groups, -1))
            of_group_BTG = by_group_BTGE.topk(config.group_best, -1).values.sum(-1)
            best = of_group_BTG.topk(config.chosen_groups, -1).indices
            left_BTG = torch.ones_like(of_group_BTG, dtype=torch.bool).scatter(-1, best, False)
            scores_BTE = by_group_BTGE.masked_fill(left_BTG[..., None], -torch.inf).flatten(-2)
        return scores_BTE.topk(config.top_k, -1).indices

    def _losses(self, logits_BTE: torch.Tensor, scores_BTE: torch.Tensor, load_BE: torch.Tensor) -> Losses:
        config, losses = self.config, {}
        rows, places, experts = logits_BTE.shape
        if config.balance_loss:
            share_BE = load_BE * (experts / (self._lengths(places) * config.top_k))
            probability_BE = self._mean(scores_BTE / scores_BTE.sum(-1, keepdim=True))
            losses["balance"] = (config.balance_loss * (share_BE * probability_BE).sum(), float(rows))
        if config.z_loss:
            squares_BT1 = logits_BTE.logsumexp(-1, keepdim=True).square()  # a micro-batch counts by its rows
            losses["router_z"] = (config.z_loss * self._mean(squares_BT1).sum(), float(rows))
        return losses

    def _lengths(self, places: int) -> Any:
        """Real places of each row, (B, 1), or of all rows."""
        return places if self.real_BT is None else self.real_BT.sum(1, keepdim=True).clamp(min=1)

    def _mean(self, values_BTE: torch.Tensor) -> torch.Tensor:
        """Over the real places of each row, (B, E)."""
        if self.real_BT is None:
            return values_BTE.mean(1)
        return (values_BTE * self.real_BT[..., None]).sum(1) / self._lengths(values_BTE.shape[1])

    @property
    def learns(self) -> bool:
        """Whether its bias moves: not where the router itself is frozen."""
        return self.bias is not None and self.weight.requires_grad

    @torch.no_grad()
    def learn(self, seen: Seen) -> None:
        """Moves the bias by a step towards experts that were given less than their share (Wang et al. 2024, algorithm
        1)."""
        assert seen.load_E is not None
        load_E = seen.load_E.to(self.bias.device)
        self.bias += self.config.bias_rate * (load_E.mean() - load_E).sign().to(self.bias.dtype)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # In bfloat16 a bias of 1 would not be moved by a thousandth.
        bias = self.bias
        super()._apply(fn, recurse)
        if bias is not None and bias.dtype != self.bias.dtype:
            self.bias = bias.to(self.bias.device)
        return self


class MixtureOfExperts(nn.Module):
    """Σ weight · expert(x) over each token's experts, plus what is shared (DeepSeek-V3, equation 12)."""

    def __init__(self, config: MixtureOfExpertsConfig, width: int) -> None:
        super().__init__()
        self.router = Router(config, width)
        self.experts = nn.ModuleList(config.expert.build(width) for _ in range(config.experts))
        self.shared = config.shared.build(width) if config.shared else None
        self.given = {"experts": config.top_k / config.experts}

    @torch.compiler.disable(reason="how many tokens an expert is given is known only then")  # type: ignore[untyped-decorator]
    def forward(self, hidden_BTC: torch.Tensor) -> tuple[torch.Tensor, Losses]:
        chosen_BTK, weights_BTK, load_E, losses = self.router(hidden_BTC)
        order = chosen_BTK.flatten().argsort(stable=True)  # by expert; N = B · T · K tokens, each as often as chosen
        sorted_NC = hidden_BTC.flatten(0, -2)[order // chosen_BTK.shape[-1]]
        parts = zip(self.experts, sorted_NC.split(_sizes(load_E, len(order))), strict=True)
        called = [(expert, part_NC) for expert, part_NC in parts if len(part_NC) or self.training]
        computed_NC = torch.cat([_computed(expert, part_NC) for expert, part_NC in called])
        computed_BTKC = computed_NC[order.argsort()].unflatten(0, chosen_BTK.shape)
        mixed_BTC = (computed_BTKC * weights_BTK.to(computed_BTKC.dtype)[..., None]).sum(-2)
        return mixed_BTC if self.shared is None else mixed_BTC + self.shared(hidden_BTC)[0], losses


def _computed(expert: nn.Module, part_NC: torch.Tensor) -> torch.Tensor:
    """One that is given nothing computes a row of zeros, which is left out: its gradient is zero and not missing."""
    if len(part_NC):
        return expert(part_NC)[0]
    return expert(part_NC.new_zeros(1, part_NC.shape[-1]))[0][:0]


def _sizes(load_E: torch.Tensor, tokens: int) -> list[int]:
    """How many tokens each expert is given. On the meta device, where nothing is known, all alike: the sum is."""
    if not load_E.is_meta:
        return load_E.tolist()
    experts = len(load_E)
    return [tokens * (e + 1) // experts - tokens * e // experts for e in range(experts)]
