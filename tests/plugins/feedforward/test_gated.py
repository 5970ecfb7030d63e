"""Gated linear units against their equation (Shazeer 2020, equations 5 and 6)."""

import pytest
import torch

from harness.config import plugin_config


def config(**values):
    return plugin_config("feedforward", {"name": "gated", **values}, "feedforward")


ACTIVATIONS = {
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "relu": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "squared_relu": lambda x: torch.where(x > 0, x * x, torch.zeros_like(x)),
}


@torch.no_grad()
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_equation(activation):
    torch.manual_seed(0)
    module = config(activation=activation, hidden=10, bias=True).build(6)
    x = torch.randn(2, 3, 6)
    gate, up = module.gate, module.up
    gated = ACTIVATIONS[activation](x @ gate.weight.T + gate.bias) * (x @ up.weight.T + up.bias)
    found, auxiliary = module(x)
    torch.testing.assert_close(found, gated @ module.down.weight.T + module.down.bias, rtol=1e-4, atol=1e-6)
    assert auxiliary == {}


@pytest.mark.parametrize(
    ("width", "values", "hidden"),
    [
        (4096, {"rounding": 256}, 11008),  # LLaMA 7B
        (5120, {"rounding": 256}, 13824),  # LLaMA 13B
        (8192, {"rounding": 256, "multiple": 3.5}, 28672),  # LLaMA 2 70B
        (48, {}, 128),
        (64, {}, 176),
        (64, {"hidden": 99}, 99),
    ],
)
def test_the_hidden_width_is_rounded_up(width, values, hidden):
    assert config(**values).hidden_width(width) == hidden
