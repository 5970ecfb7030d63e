import pytest
import torch
from torch import nn

from harness.config import ConfigError, plugin_config


@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_products_with_each_tokens_vector(tied):
    torch.manual_seed(0)
    table = nn.Parameter(torch.randn(5, 3))
    config = plugin_config("head", {"name": "language_model", "tied": tied}, "head")
    head = config.build(3, 5, table)
    assert (head.weight is table) == tied
    hidden_BTC = torch.randn(2, 4, 3)
    expected = torch.einsum("btc,vc->btv", hidden_BTC, head.weight)
    torch.testing.assert_close(head(hidden_BTC), expected)
    assert config.parameters(3, 5) == (0 if tied else 15)


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
def test_scale_bias_and_cap_are_as_written_down(tied):
    torch.manual_seed(0)
    values = {"tied": tied, "bias": True, "scale": 3.0, "scale_by_width": True, "soft_cap": 0.7}
    config = plugin_config("head", {"name": "language_model", **values}, "head")
    head = config.build(4, 5, nn.Parameter(torch.randn(5, 4)))
    head.bias.normal_()
    hidden_C = torch.randn(4)
    plain_V = 3.0 * head.weight @ hidden_C / 2.0 + head.bias
    torch.testing.assert_close(head(hidden_C), 0.7 * (plain_V / 0.7).tanh())
    assert config.parameters(4, 5) == (0 if tied else 20) + 5


@torch.no_grad()
@pytest.mark.parametrize("norm", [None, {"name": "layernorm", "epsilon": 0.1}])
def test_hidden_states_go_through_the_transform_first(norm):
    """As `BertPredictionHeadTransform` does it."""
    torch.manual_seed(0)
    values = {"bias": True, "transform": "gelu", "transform_norm": norm}
    config = plugin_config("head", {"name": "language_model", **values}, "head")
    table = nn.Parameter(torch.randn(5, 4))
    head = config.build(4, 5, table)
    for parameter in head.parameters():
        parameter.normal_()
    hidden_BTC, dense = torch.randn(2, 3, 4), head.transform.dense
    expected = nn.functional.gelu(hidden_BTC @ dense.weight.T + dense.bias)
    if norm:
        expected = nn.functional.layer_norm(expected, (4,), head.transform.norm.weight, head.transform.norm.bias, 0.1)
    torch.testing.assert_close(head(hidden_BTC), expected @ table.T + head.bias)
    assert config.parameters(4, 5) == sum(parameter.numel() for parameter in head.parameters()) - table.numel()
    assert config.flops(4, 5) == 2 * 4 * 4 + 2 * 4 * 5


def test_a_norm_of_no_transform_is_refused():
    with pytest.raises(ConfigError, match="transform_norm is of transform, which is null"):
        plugin_config("head", {"name": "language_model", "transform_norm": "layernorm"}, "head")


def test_a_cap_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="soft_cap=0.0 is no bound"):
        plugin_config("head", {"name": "language_model", "soft_cap": 0.0}, "head")
