"""Gains behind matrices: put in, counted, and multiplied into the matrices again."""

from __future__ import annotations

import torch
from torch import nn

from harness.config import ConfigError
from harness.interfaces.adapter import AdapterCounts
from harness.models.blocks import blocks
from harness.models.load import given


class Scaled(nn.Module):
    """gain · linear(x); gains of one change nothing."""

    roles = {"gain": "gain"}

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.gain = nn.Parameter(torch.ones(linear.out_features, device=linear.weight.device))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        scaled: torch.Tensor = self.linear(hidden) * self.gain
        return scaled


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The Linears of the layers by name. Raises ConfigError where there is none."""
    within = {id(module) for layer in blocks(model) for module in layer.modules()}
    named = model.named_modules()
    found = {name: module for name, module in named if isinstance(module, nn.Linear) and id(module) in within}
    if not found:
        raise ConfigError("adapter=mine: the layers of this architecture have no Linear matrices.")
    return found


def counts(model: nn.Module) -> AdapterCounts:
    """Kept is what each matrix has made. There are no matrix products."""
    found = linears(model)
    return AdapterCounts(
        parameters=sum(linear.out_features for linear in found.values()),
        activations=round(sum(given(model, name) * linear.out_features for name, linear in found.items())),
        products=0,
        flops=0.0,
        reads=dict.fromkeys(found, 0.0),
    )


def adapt(model: nn.Module) -> list[str]:
    found = linears(model)
    for name, linear in found.items():
        _put(model, name, Scaled(linear))
    return [f"{name}.gain" for name in found]


@torch.no_grad()
def merge(model: nn.Module) -> None:
    for name, module in list(model.named_modules()):
        if isinstance(module, Scaled):
            module.linear.weight.mul_(module.gain[:, None])
            if module.linear.bias is not None:
                module.linear.bias.mul_(module.gain)
            _put(model, name, module.linear)


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)
