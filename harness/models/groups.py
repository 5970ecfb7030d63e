"""Which parameters are trained, at which share of the learning rate, and how an optimizer's groups are made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from harness.config import ConfigError
from harness.errors import suggest
from harness.interfaces.optimizer import Growth, OptimizerConfig, Trained
from harness.models.blocks import blocks
from harness.models.roles import roles

K = TypeVar("K", bound=Hashable)


def freeze(model: nn.Module, config: OptimizerConfig) -> None:
    """Takes the parameters named in `frozen` out of training. Raises ConfigError for a name that is none."""
    for name in _matched(model, config.frozen, "optimizer.frozen"):
        model.get_parameter(name).requires_grad_(False)


def train_only(model: nn.Module, names: Collection[str]) -> None:
    """Takes all but the named parameters out of training."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in names)


def trained(model: nn.Module, config: OptimizerConfig) -> list[Trained]:
    """Every parameter that is trained, in order of definition. Raises ConfigError for a name in `rates` that is none,
    and where nothing is left to train."""
    named, depths = dict(model.named_parameters()), _depths(model)
    growth = getattr(model, "growth", {})
    _matched(model, config.rates, "optimizer.rates")
    found = []
    for name, role in roles(model).items():
        if named[name].requires_grad:
            rate = config.layer_decay ** depths[name]
            for pattern, share in config.rates.items():
                rate *= share if fnmatchcase(name, pattern) else 1.0
            one = Trained(name, named[name], role, rate, growth.get(name, Growth()))
            found.append(replace(one, rate=rate * config.width_share(one)))
    if not found:
        raise ConfigError(f"optimizer.frozen={config.frozen} leaves nothing to train.")
    return found


def grouped(parameters: Sequence[Trained], lr: float, key: Callable[[Trained], K]) -> list[tuple[K, dict[str, Any]]]:
    """Groups for a `torch.optim.Optimizer`, each of one key, one rate and one device mesh (kernels that take many
    tensors at once take no mixture): (key, {"params", "peak_lr", "lr"}), in order of first appearance."""
    groups: dict[tuple[K, float, Any], dict[str, Any]] = {}
    for one in parameters:
        peak = lr * one.rate
        group = groups.setdefault(
            (key(one), one.rate, mesh_of(one.parameter)), {"params": [], "peak_lr": peak, "lr": peak}
        )
        group["params"].append(one.parameter)
    return [(of[0], group) for of, group in groups.items()]


def mesh_of(tensor: torch.Tensor) -> Any:
    """The devices that a tensor is spread over; None for one that is whole."""
    return tensor.device_mesh if isinstance(tensor, DTensor) else None


def _matched(model: nn.Module, patterns: Sequence[str] | dict[str, float], where: str) -> list[str]:
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"{where}: no parameter is named {pattern}. {suggest(pattern, names)}")
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _depths(model: Any) -> dict[str, int]:
    """How many layers stand above each parameter: 0 in the heads, the last norm and the last layer; for the
    embeddings all of them and one more."""
    layers = {id(p): k for k, layer in enumerate(blocks(model)) for p in layer.parameters()}
    count = len(blocks(model))
    after = {id(p) for name in ("norm",) if hasattr(model.body, name) for p in getattr(model.body, name).parameters()}
    depths = {}
    for name, parameter in model.named_parameters():
        if id(parameter) in layers:
            depths[name] = count - 1 - layers[id(parameter)]
        else:
            depths[name] = 0 if id(parameter) in after or name.startswith("heads.") else count
    return depths
