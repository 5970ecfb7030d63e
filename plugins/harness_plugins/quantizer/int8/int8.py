"""Matrices in int8 by torchao's `Int8Tensor`: W ≈ scale · q, with one scale for each row.

The scale is the row's largest magnitude over 127.5, q the nearest whole number from −128 to 127 (symmetric, per
channel; Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference", section 2). With dynamic
activations each token's vector becomes int8 with a scale and a zero of its own, and products are summed in int32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from harness.config import ConfigError
from harness.errors import UserError
from harness.interfaces.quantizer import Coverage
from harness_plugins.quantizer.int8.torchao import (
    Int8DynamicActivationInt8WeightConfig,
    Int8Tensor,
    Int8WeightOnlyConfig,
    MappingType,
    PerRow,
    QuantizeTensorToInt8Kwargs,
    quantize_,
)

#: What the layout of the tensors is called in a recipe; another number for another layout.
LAYOUT = "int8 rows 1"
DATA, SCALE = ".int8", ".scale"


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The Linears whose matrices are quantized, by name: all whose matrix is their own. Raises ConfigError where there
    is none."""
    shared = _tables(model)
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module.weight) not in shared
    }
    if not found:
        raise ConfigError("The model has no Linear with a matrix of its own, so there is nothing to quantize.")
    return found


def _tables(model: nn.Module) -> dict[int, str]:
    """The name of every look-up table, by the identity of its parameter."""
    return {id(m.weight): name for name, m in model.named_modules() if isinstance(m, nn.Embedding)}


def torchao_config(activations: str) -> Any:
    if activations == "none":
        return Int8WeightOnlyConfig(set_inductor_config=False)
    return Int8DynamicActivationInt8WeightConfig(act_mapping_type=MappingType.ASYMMETRIC, set_inductor_config=False)


@torch.no_grad()
def convert(model: nn.Module, activations: str) -> Coverage:
    chosen = linears(model)
    matrices = {f"{name}.weight": module.weight for name, module in chosen.items()}
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    modules = set(chosen.values())
    quantize_(model, torchao_config(activations), filter_fn=lambda module, name: module in modules)
    squares = {}
    for name, before in matrices.items():
        changed = model.get_parameter(name).dequantize().double() - before.double()
        squares[name] = (float(changed.square().sum()), float(before.double().square().sum()))
    return Coverage(
        quantized={name: sizes[name] for name in matrices},
        left={name: size for name, size in sizes.items() if name not in matrices},
        squares=squares,
        notes=_notes(model),
    )


def _notes(model: nn.Module) -> tuple[str, ...]:
    tables = _tables(model)
    return tuple(
        f"{name} is tied to {tables[id(module.weight)]}, a look-up table, and stays as it is."
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module.weight) in tables
    )


def tensors(model: nn.Module, activations: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    found: dict[str, torch.Tensor] = {}
    quantized = []
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, Int8Tensor):
            found |= {name + DATA: tensor.qdata, name + SCALE: tensor.scale}
            quantized.append(name)
        else:
            found[name] = tensor.detach()
    return found, {"layout": LAYOUT, "activations": activations, "quantized": quantized}


def load(model: nn.Module, tensors: Mapping[str, torch.Tensor], recipe: Mapping[str, Any]) -> None:
    told = recipe.get("layout"), recipe.get("activations"), type(recipe.get("quantized"))
    if told not in ((LAYOUT, "none", list), (LAYOUT, "dynamic", list)):
        raise UserError(f"The recipe is not one of int8: its layout is {recipe.get('layout')}, not {LAYOUT}.")
    rest = dict(tensors)
    places = {f"{name}.weight": module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    for name in recipe["quantized"]:
        data, scale = rest.pop(name + DATA, None), rest.pop(name + SCALE, None)
        if name not in places or data is None or scale is None:
            raise UserError(f"The recipe names {name}, which the {'tensors' if name in places else 'model'} lack.")
        if data.shape != places[name].weight.shape or scale.shape != (len(data), 1) or data.dtype != torch.int8:
            raise UserError(f"{name} is {_shape(data)} in the file and {_shape(places[name].weight)} in the model.")
        weight = _int8(data, scale, places[name].weight.dtype, recipe["activations"])
        places[name].weight = nn.Parameter(weight, requires_grad=False)
    told = model.load_state_dict(rest, strict=False)
    if lacking := [name for name in told.missing_keys if name not in recipe["quantized"]]:
        raise UserError(f"The tensors lack {lacking[0]}, which the model has.")
    if told.unexpected_keys:
        raise UserError(f"The tensors hold {told.unexpected_keys[0]}, which the model lacks.")


def _shape(tensor: torch.Tensor) -> str:
    return f"{'×'.join(map(str, tensor.shape))} of {tensor.dtype}"


def _int8(data: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype, activations: str) -> Int8Tensor:
    dynamic = QuantizeTensorToInt8Kwargs(granularity=PerRow(), mapping_type=MappingType.ASYMMETRIC)
    return Int8Tensor(
        data, scale, [1, data.shape[1]], dtype,
        zero_point=torch.zeros_like(scale, dtype=torch.int8),
        act_quant_kwargs=dynamic if activations == "dynamic" else None,
    )  # fmt: skip


@torch.no_grad()
def dequantize(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear) and isinstance(module.weight, Int8Tensor):
            module.weight = nn.Parameter(module.weight.dequantize())
