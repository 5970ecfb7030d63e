import pytest
import torch

from harness.config import ConfigError, plugin_config
from harness.models.initialise import normal


def test_it_is_the_equation():
    """Zhang, Sennrich 2019, equation 4."""
    torch.manual_seed(0)
    module = plugin_config("norm", {"name": "rmsnorm", "epsilon": 0.1}, "norm").build(8)
    with torch.no_grad():
        module.weight.normal_()
    x = torch.randn(2, 3, 8)
    torch.testing.assert_close(module(x), x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt() * module.weight)


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("gain", "around_one"), [(True, False), (True, True), (False, False)])
def test_gain_and_bias_can_be_left_out_and_a_gain_can_be_around_one(gain, bias, around_one):
    torch.manual_seed(0)
    values = {"epsilon": 0.1, "gain": gain, "bias": bias, "around_one": around_one}
    config = plugin_config("norm", {"name": "rmsnorm", **values}, "norm")
    module = config.build(8)
    for parameter in module.parameters():
        parameter.normal_()
    x = torch.randn(2, 3, 8)
    expected = x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt()
    expected = expected * (module.weight + around_one if gain else 1.0) + (module.bias if bias else 0.0)
    torch.testing.assert_close(module(x), expected)
    assert sum(p.numel() for p in module.parameters()) == config.parameters(8)


def test_all_of_them_begin_by_changing_nothing_but_the_size():
    x = torch.randn(3, 8)
    for values in ({}, {"around_one": True}, {"bias": True}):
        module = plugin_config("norm", {"name": "rmsnorm", **values}, "norm").build(8)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.normal_()
        normal(module, std=1.0)
        torch.testing.assert_close(module(x), x / x.square().mean(-1, keepdim=True).sqrt(), rtol=1e-3, atol=1e-3)


def test_what_is_added_to_one_must_be_there():
    with pytest.raises(ConfigError, match="say gain=true"):
        plugin_config("norm", {"name": "rmsnorm", "gain": False, "around_one": True}, "norm")
