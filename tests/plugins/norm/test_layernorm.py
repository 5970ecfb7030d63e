import pytest
import torch

from harness.config import ConfigError, plugin_config


def test_it_is_the_equation():
    """Ba, Kiros, Hinton 2016, equation 4."""
    torch.manual_seed(0)
    module = plugin_config("norm", {"name": "layernorm", "epsilon": 0.1}, "norm").build(8)
    with torch.no_grad():
        module.weight.normal_()
        module.bias.normal_()
    x = torch.randn(2, 3, 8)
    centred = x - x.mean(-1, keepdim=True)
    expected = centred / (centred.square().mean(-1, keepdim=True) + 0.1).sqrt() * module.weight + module.bias
    torch.testing.assert_close(module(x), expected)


def test_the_shift_can_be_left_out():
    assert plugin_config("norm", {"name": "layernorm", "bias": False}, "norm").build(8).bias is None


def test_without_a_gain_it_has_no_parameters():
    module = plugin_config("norm", {"name": "layernorm", "gain": False, "bias": False}, "norm").build(8)
    assert list(module.parameters()) == []
    torch.testing.assert_close(module(torch.tensor([[1.0, 3.0] * 4])), torch.tensor([[-1.0, 1.0] * 4]))
    with pytest.raises(ConfigError, match="say bias=false"):
        plugin_config("norm", {"name": "layernorm", "gain": False}, "norm")
