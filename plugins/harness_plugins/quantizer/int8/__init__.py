"""int8: every Linear's matrix in 8 bits, with one scale for each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.quantizer import Coverage, QuantizerConfig

if TYPE_CHECKING:
    import torch
    from torch import nn

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class Int8Config(QuantizerConfig):
    """int8: every Linear's matrix in 8 bits, with one scale for each row; a tied head stays as it is."""

    packages = ("torchao",)

    activations: str = option(
        "none", "none: products in floats; dynamic: what comes into a product is in 8 bits, too, with a scale and a "
        "zero for each token",
        choices=("none", "dynamic"),
    )  # fmt: skip

    def convert(self, model: nn.Module) -> Coverage:
        from harness_plugins.quantizer.int8.int8 import convert

        return convert(model, self.activations)

    def tensors(self, model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        from harness_plugins.quantizer.int8.int8 import tensors

        return tensors(model, self.activations)

    def load(self, model: nn.Module, tensors: Mapping[str, torch.Tensor], recipe: Mapping[str, Any]) -> None:
        from harness_plugins.quantizer.int8.int8 import load

        load(model, tensors, recipe)

    def dequantize(self, model: nn.Module) -> None:
        from harness_plugins.quantizer.int8.int8 import dequantize

        dequantize(model)


@hookimpl
def register_quantizer() -> dict[str, type]:
    return {"int8": Int8Config}
