"""Optimizers and schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.config import PluginConfig, option

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Trained:
    """A parameter that is trained. role: matrix, embedding, gain or bias. rate: its share of the learning rate."""

    name: str
    parameter: torch.nn.Parameter
    role: str
    rate: float = 1.0


@dataclass(kw_only=True)
class OptimizerConfig(PluginConfig):
    """``build(parameters)``: a `torch.optim.Optimizer`. Each group keeps its peak rate, times the parameters' own
    `rate`, as ``peak_lr``; the loop sets ``lr = peak_lr × schedule.factor(step, steps)`` before every step.
    Parameters of one group are of one kind and one device mesh: `harness.models.groups.grouped` sees to it."""

    lr: float = option(1e-3, "peak learning rate", minimum=0.0)
    frozen: list[str] = option(
        [], "parameters that are not trained, by name; * stands for anything: body.tokens.*", neutral=[]
    )
    rates: dict[str, float] = option({}, "shares of the learning rate by name; * stands for anything", neutral={})
    layer_decay: float = option(
        1.0, "factor of the learning rate from each layer to the one below it (Howard & Ruder 2018)", neutral=1.0,
        minimum=0.0, maximum=1.0,
    )  # fmt: skip

    def state_numbers(self) -> float:
        """Numbers of optimizer state for each parameter, for the memory account."""
        return 2

    def build(self, parameters: list[Trained]) -> Any:
        """parameters: everything that is trained."""
        raise NotImplementedError


@dataclass(kw_only=True)
class ScheduleConfig(PluginConfig):
    """The learning rate over the run, as a closed form."""

    def factor(self, step: int, steps: int) -> float:
        """The share of the peak rate at step 0 … steps − 1."""
        raise NotImplementedError
