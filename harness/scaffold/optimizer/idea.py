"""The step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class MineOptimizer(torch.optim.Optimizer):
    """v ← μ v + g, then θ ← θ − lr v."""

    def __init__(self, groups: list[dict[str, Any]], momentum: float) -> None:
        super().__init__(groups, {"momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group["lr"], group["momentum"])
        return loss

    def _move(self, parameter: torch.Tensor, lr: float, momentum: float) -> None:
        """What is kept in `state` is saved with the run, so that it resumes bit for bit."""
        state = self.state[parameter]
        if not state:
            state["velocity"] = torch.zeros_like(parameter)
        state["velocity"].mul_(momentum).add_(parameter.grad)
        parameter.sub_(state["velocity"], alpha=lr)
