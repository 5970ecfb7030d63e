"""Quantizers: weights in fewer bits, after training or during it.

``prepare`` before training, where there is any; ``convert`` after it; ``load`` what was saved. What a converted model
is saved as are plain tensors and a recipe that is JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.config import PluginConfig

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Coverage:
    """What a quantizer did.

    quantized, left: how many numbers each parameter has, by its name. squares: of each quantized one the sum of the
    squares of what rounding changed, and that of the weights as they were. notes: sentences about what is left and
    would be expected not to be.
    """

    quantized: Mapping[str, int]
    left: Mapping[str, int]
    squares: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...] = ()

    def errors(self) -> dict[str, float]:
        """By name, the root mean square of what rounding changed over that of the weights."""
        return {name: _root_ratio(*pair) for name, pair in self.squares.items()}

    def error(self) -> float:
        """The same of all that is quantized, taken together."""
        changed, before = zip(*self.squares.values(), strict=True)
        return _root_ratio(math.fsum(changed), math.fsum(before))


def _root_ratio(changed: float, before: float) -> float:
    return math.sqrt(changed / before) if before else 0.0


@dataclass(kw_only=True)
class QuantizerConfig(PluginConfig):
    """Base of every quantizer's Config."""

    #: Whether a model is trained with it; one that is not is applied to the weights of `parents.init` as they are.
    trains: ClassVar[bool] = False
    #: The distributions that compute with what it quantizes: their versions are part of the numerics fingerprint.
    packages: ClassVar[tuple[str, ...]] = ()

    def prepare(self, model: nn.Module) -> None:
        """Makes a model compute in training as it will when it is converted, in place; it may be on the meta device.
        Names of parameters stay what they are. Raises ConfigError where the model has nothing to quantize."""
        raise NotImplementedError

    def convert(self, model: nn.Module) -> Coverage:
        """Quantizes in place, for inference, a model of plain tensors on the CPU. Raises ConfigError where it has
        nothing to quantize."""
        raise NotImplementedError

    def tensors(self, model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What a converted model is saved as: plain tensors by name, and the recipe, JSON-ready."""
        raise NotImplementedError

    def load(self, model: nn.Module, tensors: Mapping[str, torch.Tensor], recipe: Mapping[str, Any]) -> None:
        """Fills a model that was just built with what `tensors` gave, in place, converted: it computes the same bits.
        Raises UserError where tensors or recipe are not those of such a model."""
        raise NotImplementedError

    def dequantize(self, model: nn.Module) -> None:
        """Makes a converted model one of plain tensors again, in place: the numbers that its few bits stand for."""
        raise NotImplementedError
