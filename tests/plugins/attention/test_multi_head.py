"""Multi-head attention against its equation, head by head and place by place."""

import pytest
import torch

from harness.config import ConfigError, plugin_config
from harness.interfaces.visibility import Causal, NotBefore, Visibility
from harness.models.position import Position
from harness.models.visibility import View

WIDTH, LENGTH = 12, 7


def config(**values):
    return plugin_config("attention", {"name": "multi_head", **values}, "attention")


def by_hand(module, hidden_BTC: torch.Tensor, heads: int, shared: int, channels: int, window: int | None):
    """softmax(qk/√D) v (Vaswani et al. 2017, equation 1) over what a causal window shows, one query at a time."""
    rows = []
    for hidden_TC in hidden_BTC:
        queries = module.queries(hidden_TC).view(LENGTH, heads, channels)
        keys, values = (m(hidden_TC).view(LENGTH, shared, channels) for m in (module.keys, module.values))
        mixed = torch.empty(LENGTH, heads, channels)
        for head in range(heads):
            group = head // (heads // shared)
            for i in range(LENGTH):
                first = 0 if window is None else max(0, i - window + 1)
                seen = slice(first, i + 1)
                weights = (keys[seen, group] @ queries[i, head] / channels**0.5).softmax(dim=0)
                mixed[i, head] = weights @ values[seen, group]
        rows.append(module.out(mixed.flatten(1)))
    return torch.stack(rows)


@torch.no_grad()
@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize(("heads", "shared", "channels"), [(1, 1, None), (4, 4, None), (4, 2, 5), (6, 1, None)])
def test_it_is_the_equation(heads, shared, channels, window):
    torch.manual_seed(0)
    options = config(heads=heads, key_value_heads=shared, channels=channels, window=window, bias=True)
    module = options.build(WIDTH, Position())
    hidden_BTC = torch.randn(2, LENGTH, WIDTH)
    view = View(Visibility((Causal(),)), LENGTH, 0, hidden_BTC.device)
    found, _ = module(hidden_BTC, None, module.lower(view))
    expected = by_hand(module, hidden_BTC, heads, shared, channels or WIDTH // heads, window)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in module.parameters()) == options.parameters(WIDTH)


@torch.no_grad()
def test_padding_on_the_left_changes_nothing_and_makes_no_nan():
    torch.manual_seed(0)
    module = config(heads=4).build(WIDTH, Position())
    hidden_BTC = torch.randn(1, LENGTH, WIDTH)
    padded_BTC = torch.cat((torch.full((1, 3, WIDTH), 9.0), hidden_BTC), dim=1)
    device = hidden_BTC.device
    causal, padded = Visibility((Causal(),)), Causal() & NotBefore(torch.tensor([3]))
    alone, _ = module(hidden_BTC, None, module.lower(View(causal, LENGTH, 0, device)))
    found, _ = module(padded_BTC, None, module.lower(View(padded, LENGTH + 3, 0, device)))
    torch.testing.assert_close(found[:, 3:], alone)
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heads": 4, "key_value_heads": 3}, "key_value_heads=3 does not divide heads=4"),
        ({"heads": 0}, "heads=0 is too small"),
        ({"window": 0}, "window=0 is too small"),
        ({"dropout": 2.0}, "dropout=2.0 is too large"),
    ],
)
def test_bad_options_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        config(**values)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="heads=5 does not divide width=12"):
        config(heads=5).head_width(12)
