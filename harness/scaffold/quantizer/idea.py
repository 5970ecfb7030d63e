"""W ≈ scale · code: codes are whole numbers, a scale is the largest magnitude of a row over the largest code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

from harness.config import ConfigError
from harness.errors import UserError
from harness.interfaces.quantizer import Coverage


class RoundedLinear(nn.Module):
    """A Linear whose matrix is codes_OI, int8, times scale_O1; it is multiplied out for each pass."""

    def __init__(self, codes_OI: torch.Tensor, scale_O1: torch.Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.codes: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("codes", codes_OI)
        self.register_buffer("scale", scale_O1)
        self.bias = bias

    @classmethod
    def of(cls, plain: nn.Linear, bits: int) -> RoundedLinear:
        largest = 2 ** (bits - 1) - 1
        scale_O1 = plain.weight.abs().amax(1, keepdim=True).clamp(min=1e-30) / largest
        return cls((plain.weight / scale_O1).round().to(torch.int8), scale_O1, plain.bias)

    def weight(self) -> torch.Tensor:
        return self.codes * self.scale

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return linear(hidden, self.weight(), self.bias)

    def plain(self) -> nn.Linear:
        made = nn.Linear(self.codes.shape[1], self.codes.shape[0], bias=False, device=self.codes.device)
        made.weight = nn.Parameter(self.weight())
        made.register_parameter("bias", self.bias)
        return made


def rounded(model: nn.Module) -> dict[str, RoundedLinear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, RoundedLinear)}


@torch.no_grad()
def convert(model: nn.Module, bits: int) -> Coverage:
    """Heads, embeddings, norms and biases stay: they are no plain Linears' matrices."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    chosen = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    if not chosen:
        raise ConfigError("quantizer=mine: the model has no plain Linear, so there is nothing to quantize.")
    squares = {}
    for name, plain in chosen.items():
        made, before = RoundedLinear.of(plain, bits), plain.weight.double()
        changed = float((made.weight().double() - before).square().sum())
        squares[f"{name}.weight"] = (changed, float(before.square().sum()))
        model.set_submodule(name, made)
    left = {name: size for name, size in sizes.items() if name not in squares}
    return Coverage(quantized={name: sizes[name] for name in squares}, left=left, squares=squares)


def load(model: nn.Module, tensors: Mapping[str, torch.Tensor], recipe: Mapping[str, Any]) -> None:
    try:
        for name in recipe["quantized"]:
            plain = model.get_submodule(name)
            assert isinstance(plain, nn.Linear)
            model.set_submodule(name, RoundedLinear(tensors[f"{name}.codes"], tensors[f"{name}.scale"], plain.bias))
        model.load_state_dict(dict(tensors))
    except (AttributeError, KeyError, RuntimeError, AssertionError) as error:
        raise UserError(f"Tensors and recipe are not those of this model: {str(error).splitlines()[0]}.") from None


@torch.no_grad()
def dequantize(model: nn.Module) -> None:
    for name, module in rounded(model).items():
        model.set_submodule(name, module.plain())
