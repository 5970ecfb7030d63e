"""Fake quantization by torchao: weights stay floats, and each forward pass rounds them as int8 will.

Gradients pass through the rounding as if it were not there, but for what is clamped (the straight-through estimator of
Bengio et al. 2013; Jacob et al. 2018, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference").
"""

from __future__ import annotations

import torch
from torch import nn

from harness_plugins.quantizer.int8.int8 import linears
from harness_plugins.quantizer.int8.torchao import IntxFakeQuantizeConfig, QATConfig, quantize_


def prepare(model: nn.Module, activations: str) -> None:
    modules = set(linears(model).values())
    rows = IntxFakeQuantizeConfig(torch.int8, "per_channel", is_symmetric=True)
    tokens = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
    config = QATConfig(
        activation_config=tokens if activations == "dynamic" else None, weight_config=rows, step="prepare"
    )
    quantize_(model, config, filter_fn=lambda module, name: module in modules)


def take_off(model: nn.Module) -> None:
    """Plain Linears again, in place, with the floats that were trained."""
    quantize_(model, QATConfig(step="convert"))
