import pytest
import torch
from torch import nn

from harness.config import plugin_config


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
