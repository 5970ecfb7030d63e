"""Optimizers and schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from harness.config import ConfigError, PluginConfig, option

if TYPE_CHECKING:
    import torch


class Growth(NamedTuple):
    """How many times as many inputs and outputs a matrix has as at the base width (μP: `harness.models.widening`); 1 of
    every parameter of a model that has none, and of all that is no matrix."""

    inputs: float = 1.0
    outputs: float = 1.0


@dataclass(frozen=True)
class Trained:
    """A parameter that is trained. role: matrix, embedding, gain or bias. rate: its share of the learning rate, that of
    its growth (`OptimizerConfig.width_share`) included."""

    name: str
    parameter: torch.nn.Parameter
    role: str
    rate: float = 1.0
    growth: Growth = Growth()


@dataclass(kw_only=True)
class OptimizerConfig(PluginConfig):
    """``build(parameters)``: a `torch.optim.Optimizer`. Each group keeps its peak rate, times the parameters' own
    `rate`, as ``peak_lr``; the loop sets ``lr = peak_lr × schedule.factor(step, steps)`` before every step.
    Parameters of one group are of one kind and one device mesh: `harness.models.groups.grouped` sees to it."""

    #: Whether `width_share` knows its theory: a model in μP takes no other optimizer.
    knows_width: ClassVar[bool] = False

    lr: float = option(1e-3, "peak learning rate", minimum=0.0)
    frozen: list[str] = option(
        [], "parameters that are not trained, by name; * stands for anything: body.tokens.*", neutral=[]
    )
    rates: dict[str, float] = option({}, "shares of the learning rate by name; * stands for anything", neutral={})
    layer_decay: float = option(
        1.0, "factor of the learning rate from each layer to the one below it (Howard & Ruder 2018)", neutral=1.0,
        minimum=0.0, maximum=1.0,
    )  # fmt: skip

    def state_numbers(self, matrices: float) -> float:
        """Numbers of optimizer state for each parameter, for the memory account. matrices: the share of the parameters
        that stands in the body's matrices."""
        return 2

    def update_numbers(self) -> float:
        """Numbers that an update makes for each parameter, all at once, and lets go again; for the memory account."""
        return 0

    def width_share(self, one: Trained) -> float:
        """What the rate of a parameter is multiplied by for its growth, so that one rate serves all widths."""
        return 1.0

    def build(self, parameters: list[Trained]) -> Any:
        """parameters: everything that is trained."""
        raise NotImplementedError


@dataclass(kw_only=True)
class DecoupledDecayConfig(OptimizerConfig):
    """Base of optimizers with two running means and weight decay apart from the gradient (Loshchilov & Hutter 2019)."""

    knows_width: ClassVar[bool] = True

    betas: list[float] = option([0.9, 0.95], "decay of the running mean of gradients, and of their squares")
    weight_decay: float = option(0.1, "share of a weight lost in one step, as a multiple of the rate", minimum=0.0)
    decayed: list[str] = option(
        ["matrix", "embedding"], "roles of the parameters that decay: matrix, embedding, gain, bias"
    )

    def check(self) -> None:
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas={self.betas} must be two numbers from 0 up to but not including 1.")
        unknown = set(self.decayed) - {"matrix", "embedding", "gain", "bias"}
        if unknown:
            raise ConfigError(f"decayed={self.decayed} names no role: {', '.join(sorted(unknown))}.")

    def width_share(self, one: Trained) -> float:
        """Entries of an update are all of one size, and a sum over inputs adds them up (Yang et al. 2022, table 3)."""
        return 1 / one.growth.inputs

    def decay_of(self, one: Trained) -> float:
        """The weight decay of a parameter, by its role. It is multiplied by the rate, whose share for growth is taken
        back here: what is lost in a step is the same at every width (Yang et al. 2022, appendix B.3)."""
        return self.weight_decay / self.width_share(one) if one.role in self.decayed else 0.0


@dataclass(kw_only=True)
class ScheduleConfig(PluginConfig):
    """The learning rate over the run, as a closed form."""

    def factor(self, step: int, steps: int) -> float:
        """The share of the peak rate at step 0 … steps − 1."""
        raise NotImplementedError
