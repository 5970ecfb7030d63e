"""Optimizers and schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.config import PluginConfig, option

if TYPE_CHECKING:
    import torch


@dataclass(kw_only=True)
class OptimizerConfig(PluginConfig):
    """``build(parameters)``: a `torch.optim.Optimizer`. Each group keeps its peak rate as ``peak_lr``; the loop sets
    ``lr = peak_lr × schedule.factor(step, steps)`` before every step."""

    lr: float = option(1e-3, "peak learning rate", minimum=0.0)

    def state_numbers(self) -> int:
        """Numbers of optimizer state for each parameter, for the memory account."""
        return 2

    def build(self, parameters: list[tuple[str, torch.nn.Parameter, str]]) -> Any:
        """parameters: (name, parameter, role) of everything that is trained."""
        raise NotImplementedError


@dataclass(kw_only=True)
class ScheduleConfig(PluginConfig):
    """The learning rate over the run, as a closed form."""

    def factor(self, step: int, steps: int) -> float:
        """The share of the peak rate at step 0 … steps − 1."""
        raise NotImplementedError
