"""The two-layer network against its equation (Vaswani et al. 2017, equation 2)."""

import pytest
import torch

from harness.config import ConfigError, plugin_config


def config(**values):
    return plugin_config("feedforward", {"name": "mlp", **values}, "feedforward")


@torch.no_grad()
def test_it_is_the_equation():
    torch.manual_seed(0)
    module = config(activation="relu", bias=True).build(6)
    x = torch.randn(2, 3, 6)
    hidden = (x @ module.up.weight.T + module.up.bias).clamp(min=0)
    torch.testing.assert_close(module(x)[0], hidden @ module.down.weight.T + module.down.bias)


@pytest.mark.parametrize(("values", "hidden"), [({}, 256), ({"multiple": 2.5}, 160), ({"hidden": 7}, 7)])
def test_the_hidden_width(values, hidden):
    assert config(**values).build(64).up.out_features == hidden


def test_an_unknown_activation_is_refused():
    with pytest.raises(ConfigError, match="Did you mean gelu"):
        config(activation="gelo")
