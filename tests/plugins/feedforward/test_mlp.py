"""The two-layer network against its equation (Vaswani et al. 2017, equation 2)."""

import pytest
import torch

from harness.config import ConfigError, plugin_config
from harness.interfaces.parts import ACTIVATIONS as CHOICES


def config(**values):
    return plugin_config("feedforward", {"name": "mlp", **values}, "feedforward")


ACTIVATIONS = {
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "relu": lambda x: x.clamp(min=0),
    "squared_relu": lambda x: x.clamp(min=0) ** 2,
}


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_equation(activation, bias):
    torch.manual_seed(0)
    module = config(activation=activation, bias=bias).build(6)
    x = torch.randn(2, 3, 6)
    up, down = (layer.bias if bias else 0 for layer in (module.up, module.down))
    hidden = ACTIVATIONS[activation](x @ module.up.weight.T + up)
    torch.testing.assert_close(module(x)[0], hidden @ module.down.weight.T + down, rtol=1e-4, atol=1e-6)


def test_every_activation_can_be_chosen():
    assert set(ACTIVATIONS) == set(CHOICES)


@pytest.mark.parametrize(("values", "hidden"), [({}, 256), ({"multiple": 2.5}, 160), ({"hidden": 7}, 7)])
def test_the_hidden_width(values, hidden):
    assert config(**values).build(64).up.out_features == hidden


def test_an_unknown_activation_is_refused():
    with pytest.raises(ConfigError, match="Did you mean gelu"):
        config(activation="gelo")
