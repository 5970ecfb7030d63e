"""What every optimizer and every schedule promises."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import torch
from torch import nn

from harness.interfaces.optimizer import ScheduleConfig, Trained
from harness.testing.check import skip, sound

SHAPES = {"matrix": (6, 4), "embedding": (8, 4), "gain": (4,), "bias": (4,)}


def parameters(rate: float = 1.0) -> list[Trained]:
    """A parameter of each role."""
    generator = torch.Generator().manual_seed(0)
    drawn = {role: torch.randn(shape, generator=generator) for role, shape in SHAPES.items()}
    return [Trained(f"of.{role}", nn.Parameter(tensor), role, rate) for role, tensor in drawn.items()]


def _quadratic(trained: list[Trained]) -> torch.Tensor:
    """Half of the squared distance from 3, along axes of different steepness."""
    return torch.stack([((one.parameter - 3.0).square().sum(-1) * _steepness(one)).sum() / 2 for one in trained]).sum()


def _steepness(one: Trained) -> torch.Tensor:
    shape = one.parameter.shape[:-1]
    return torch.linspace(0.5, 1.5, math.prod(shape)).reshape(shape)


def _step(optimizer: Any, trained: list[Trained], times: int) -> None:
    for _ in range(times):
        optimizer.zero_grad()
        _quadratic(trained).backward()
        optimizer.step()


def descends_not(config: Any, steps: int = 100) -> str | None:
    """Whether a quadratic does not become smaller, under which every parameter moves."""
    trained = parameters()
    before = {one.name: one.parameter.detach().clone() for one in trained}
    first = _quadratic(trained).item()
    _step(config.build(trained), trained, steps)
    last = _quadratic(trained).item()
    for one in trained:
        if torch.equal(one.parameter.detach(), before[one.name]):
            return f"The parameter {one.name} (role {one.role}) does not move."
    return (
        None if last < 0.9 * first else f"In {steps} steps a quadratic goes from {first:.4g} to {last:.4g}: not down."
    )


def forgets_state(config: Any, steps: int = 3) -> str | None:
    """Whether an optimizer that goes on from a saved state does not end where one does that was left alone."""
    alone, stopped = parameters(), parameters()
    whole, first = config.build(alone), config.build(stopped)
    _step(whole, alone, 2 * steps)
    _step(first, stopped, steps)
    resumed = [Trained(one.name, nn.Parameter(one.parameter.detach().clone()), one.role) for one in stopped]
    second = config.build(resumed)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    _step(second, resumed, steps)
    for ours, theirs in zip(resumed, alone, strict=True):
        if not torch.equal(ours.parameter, theirs.parameter):
            return (
                f"Resumed from its state, it ends elsewhere than one left alone, in {ours.name}: its state is not all."
            )
    return None


@torch.no_grad()
def decays_others(config: Any) -> str | None:
    """Whether, without a gradient, other parameters become smaller than those whose roles decay."""
    trained = parameters()
    before = {one.role: one.parameter.detach().clone() for one in trained}
    optimizer = config.build(trained)
    for one in trained:
        one.parameter.grad = torch.zeros_like(one.parameter)
    optimizer.step()
    smaller = {one.role for one in trained if float(one.parameter.norm()) < float(before[one.role].norm())}
    for role in SHAPES:
        if (role in smaller) != (role in config.decayed and config.weight_decay > 0):
            return (
                f"decayed={config.decayed}, and parameters of the role {role} {'do' if role in smaller else 'do not'}."
            )
    return None


def hides_rate(config: Any) -> str | None:
    """Whether a group has no `peak_lr`, or one that is not the rate times the parameter's own share."""
    for share in (1.0, 0.25):
        trained = parameters(share)
        held = {id(p): group for group in config.build(trained).param_groups for p in group["params"]}
        for one in trained:
            if id(one.parameter) not in held:
                return f"The parameter {one.name} is in no group."
            peak = held[id(one.parameter)].get("peak_lr")
            if peak is None or not math.isclose(peak, config.lr * share):
                return f"The group of {one.name} has peak_lr={peak}, and not lr × rate = {config.lr * share}."
    return None


class OptimizerKit:
    """Subclass it and give `config`, an `OptimizerConfig` with a rate at which 100 steps lead down a quadratic.

    class TestMine(OptimizerKit):
        config = MyConfig(name="mine", lr=0.05)
    """

    config: ClassVar[Any]

    def test_it_leads_down(self) -> None:
        sound(descends_not(self.config))

    def test_resumed_it_ends_where_one_does_that_was_left_alone(self) -> None:
        sound(forgets_state(self.config))

    def test_only_roles_that_are_named_decay(self) -> None:
        if not hasattr(self.config, "decayed"):
            skip("it has no decayed")
        sound(decays_others(self.config))

    def test_groups_keep_their_peak_rate(self) -> None:
        sound(hides_rate(self.config))


#: Lengths of runs that a schedule is asked for.
RUNS = (1, 2, 3, 10, 100, 1001)


def leaves_bounds(config: ScheduleConfig) -> str | None:
    """Whether a factor is no number from 0 to 1, the peak is never reached in a run of 100 steps or more, or asking
    twice or in another order gives another one."""
    for steps in RUNS:
        factors = [config.factor(step, steps) for step in range(steps)]
        for step, factor in enumerate(factors):
            if not (math.isfinite(factor) and 0.0 <= factor <= 1.0):
                return f"At step {step} of {steps} the factor is {factor}, which is not from 0 to 1."
        if not any(factors):
            return f"In a run of {steps} steps the factor is always 0."
        if steps >= 100 and max(factors) < 0.99:
            return (
                f"In a run of {steps} steps the factor is at most {max(factors):.3g}: the peak rate is never reached."
            )
        if [config.factor(step, steps) for step in reversed(range(steps))][::-1] != factors:
            return f"Asked in another order, the factors of a run of {steps} steps are others: keep nothing between."
    return None


class ScheduleKit:
    """Subclass it and give `config`, a `ScheduleConfig`.

    class TestMine(ScheduleKit):
        config = MyConfig(name="mine")
    """

    config: ClassVar[Any]

    def test_factors_are_shares_of_the_peak(self) -> None:
        sound(leaves_bounds(self.config))
