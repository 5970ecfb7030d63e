"""Lion over groups of what decays and what does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from harness.interfaces.optimizer import Trained
from harness.models.groups import grouped

if TYPE_CHECKING:
    from harness_plugins.optimizer.lion import LionConfig


class Lion(torch.optim.Optimizer):
    """Chen et al. (2023), algorithm 2."""

    def __init__(self, groups: list[dict[str, Any]], betas: list[float]) -> None:
        super().__init__(groups, {"betas": list(betas)})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update([parameter for parameter in group["params"] if parameter.grad is not None], group)
        return loss

    def _update(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        """θ ← θ − lr (sign(β₁ m + (1 − β₁) g) + λ θ), then m ← β₂ m + (1 − β₂) g."""
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {"momentum": torch.zeros_like(parameter)}
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not parameters:
            return
        directions = torch._foreach_lerp(momenta, gradients, 1 - group["betas"][0])
        torch._foreach_sign_(directions)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, directions, alpha=-group["lr"])
        torch._foreach_lerp_(momenta, gradients, 1 - group["betas"][1])


def build(config: LionConfig, parameters: list[Trained]) -> Lion:
    groups = [{**group, "weight_decay": decay} for decay, group in grouped(parameters, config.lr, config.decay_of)]
    return Lion(groups, config.betas)
