"""Matrices rounded to a few bits, with one scale for each row."""

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
class MineConfig(QuantizerConfig):
    """Every plain Linear's matrix to the nearest of 2^bits − 1 levels, from −largest to +largest of its row."""

    bits: int = option(6, "bits of a weight; they are stored in 8", minimum=2, maximum=8)

    def convert(self, model: nn.Module) -> Coverage:
        from harness.scaffold.quantizer.idea import convert

        return convert(model, self.bits)

    def tensors(self, model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        from harness.scaffold.quantizer.idea import rounded

        return {**model.state_dict()}, {"bits": self.bits, "quantized": list(rounded(model))}

    def load(self, model: nn.Module, tensors: Mapping[str, torch.Tensor], recipe: Mapping[str, Any]) -> None:
        from harness.scaffold.quantizer.idea import load

        load(model, tensors, recipe)

    def dequantize(self, model: nn.Module) -> None:
        from harness.scaffold.quantizer.idea import dequantize

        dequantize(model)


@hookimpl
def register_quantizer() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.quantizer.conf"]
