"""Quantizers: weights in fewer bits, after training or during it.

``prepare`` before training, where there is any; ``convert`` after it; ``load`` what was saved. What a converted model
is saved as are plain tensors and a recipe that is JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.config import PluginConfig

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Coverage:
    """What a quantizer did. quantized, left: parameters by name of the tensor. error: by name, the root mean square of
    what rounding changed over that of the weights."""

    quantized: Mapping[str, int]
    left: Mapping[str, int]
    error: Mapping[str, float]


@dataclass(kw_only=True)
class QuantizerConfig(PluginConfig):
    """Base of every quantizer's Config."""

    #: Whether a model is trained with it; one that is not is applied to the weights of `parents.init` as they are.
    trains: ClassVar[bool] = False

    def prepare(self, model: nn.Module) -> None:
        """Makes a model compute in training as it will when it is converted, in place. Names stay what they are."""

    def convert(self, model: nn.Module) -> Coverage:
        """Quantizes in place, for inference. Raises ConfigError where the model has nothing to quantize."""
        raise NotImplementedError

    def tensors(self, model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What a converted model is saved as: plain tensors by name, and the recipe, JSON-ready."""
        raise NotImplementedError

    def load(self, model: nn.Module, tensors: Mapping[str, torch.Tensor], recipe: Mapping[str, Any]) -> None:
        """Fills a model that was just built with what `tensors` gave, in place, converted."""
        raise NotImplementedError
