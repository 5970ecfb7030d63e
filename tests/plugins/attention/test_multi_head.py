"""Multi-head attention against its equation, head by head and place by place."""

import copy

import pytest
import torch

from harness.config import ConfigError, plugin_config
from harness.interfaces.visibility import Causal, NotBefore, Visibility
from harness.models.position import Position
from harness.models.visibility import View

WIDTH, LENGTH = 12, 7


def config(**values):
    return plugin_config("attention", {"name": "multi_head", **values}, "attention")


def by_hand(module, hidden_BTC, heads, shared, channels, window, scale=None, cap=None):
    """softmax(qk/√D) v (Vaswani et al. 2017, equation 1) over what a causal window shows, one query at a time."""
    rows = []
    for hidden_TC in hidden_BTC:
        queries = module.queries(hidden_TC)
        keys, values = module.keys(hidden_TC), module.values(hidden_TC).view(LENGTH, shared, channels)
        queries, keys = normed(module.query_norm, queries, channels), normed(module.key_norm, keys, channels)
        mixed = torch.empty(LENGTH, heads, channels)
        for head in range(heads):
            group = head // (heads // shared)
            for i in range(LENGTH):
                first = 0 if window is None else max(0, i - window + 1)
                seen = slice(first, i + 1)
                scores = keys[seen, group] @ queries[i, head] * (scale or channels**-0.5)
                if cap is not None:
                    scores = cap * (scores / cap).tanh()
                mixed[i, head] = scores.softmax(dim=0) @ values[seen, group]
        rows.append(module.out(mixed.flatten(1)))
    return torch.stack(rows)


def normed(norm, projected_TC, channels):
    """By heads; a norm that is as wide as all of them comes first, one that is as wide as one is of each."""
    if norm is None:
        return projected_TC.view(LENGTH, -1, channels)
    if norm.normalized_shape == (projected_TC.shape[1],):
        return norm(projected_TC).view(LENGTH, -1, channels)
    pieces = [norm(piece) for piece in projected_TC.split(channels, dim=1)]
    return torch.stack(pieces, dim=1)


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
@pytest.mark.parametrize(("window", "shared"), [(None, 4), (3, 2)])
@pytest.mark.parametrize(
    "values",
    [
        {"scale": 0.7},
        {"soft_cap": 0.8},
        {"soft_cap": 0.8, "scale": 2.0, "query_key_norm": "rmsnorm"},
        {"query_key_norm": {"name": "layernorm", "epsilon": 0.1}},
        {"query_key_norm": "rmsnorm", "norm_of_all_heads": True},
    ],
)
def test_scale_cap_and_norms_are_in_the_equation(values, window, shared):
    torch.manual_seed(0)
    options = config(heads=4, key_value_heads=shared, channels=6, window=window, **values)
    module = options.build(WIDTH, Position())
    for parameter in module.parameters():
        parameter.normal_()
    hidden_BTC = torch.randn(2, LENGTH, WIDTH)
    found, _ = module(hidden_BTC, None, module.lower(View(Visibility((Causal(),)), LENGTH, 0, hidden_BTC.device)))
    expected = by_hand(module, hidden_BTC, 4, shared, 6, window, scale=values.get("scale"), cap=values.get("soft_cap"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert sum(p.numel() for p in module.parameters()) == options.parameters(WIDTH)


@torch.no_grad()
def test_a_cap_that_is_never_reached_changes_nothing_and_a_low_one_evens_out():
    """cap · tanh(x / cap) → x for a high cap; for a low one every place that is seen has the same weight."""
    torch.manual_seed(0)
    plain, high, low = (config(soft_cap=cap).build(WIDTH, Position()) for cap in (None, 1e4, 1e-4))
    hidden_BTC = torch.randn(1, LENGTH, WIDTH)
    for module in (high, low):
        module.load_state_dict(plain.state_dict())
    seen = plain.lower(View(Visibility((Causal(),)), LENGTH, 0, hidden_BTC.device))
    torch.testing.assert_close(high(hidden_BTC, None, seen)[0], plain(hidden_BTC, None, seen)[0])
    means = plain.values(hidden_BTC).cumsum(dim=1) / torch.arange(1, LENGTH + 1)[:, None]
    torch.testing.assert_close(low(hidden_BTC, None, seen)[0], plain.out(means), rtol=1e-3, atol=1e-3)


def test_the_weights_of_a_cap_are_dropped_in_training_alone():
    torch.manual_seed(0)
    module = config(soft_cap=2.0, dropout=0.5).build(WIDTH, Position())
    hidden_BTC = torch.randn(1, LENGTH, WIDTH)
    seen = module.lower(View(Visibility((Causal(),)), LENGTH, 0, hidden_BTC.device))
    one, other = (module(hidden_BTC, None, seen)[0] for _ in range(2))
    assert not torch.equal(one, other)
    one, other = (module.eval()(hidden_BTC, None, seen)[0] for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("values", "biased"),
    [
        ({}, set()),
        ({"bias": True}, {"queries", "keys", "values", "out"}),
        ({"bias": True, "out_bias": False}, {"queries", "keys", "values"}),
        ({"out_bias": True}, {"out"}),
    ],
)
def test_the_last_projection_may_have_its_bias_apart(values, biased):
    module = config(**values).build(WIDTH, Position())
    assert {name for name, part in module.named_children() if part.bias is not None} == biased


@torch.no_grad()
@pytest.mark.parametrize("values", [{}, {"key_value_heads": 2}, {"soft_cap": 0.8, "key_value_heads": 2, "scale": 2.0}])
def test_halves_of_the_heads_add_up_to_the_whole(values):
    """What a rank of tensor parallelism computes with its share of the matrices."""
    torch.manual_seed(0)
    module = config(heads=4, **values).build(WIDTH, Position())
    hidden_BTC = torch.randn(2, LENGTH, WIDTH)
    seen = module.lower(View(Visibility((Causal(),)), LENGTH, 0, hidden_BTC.device))
    whole, _ = module(hidden_BTC, None, seen)
    halves = []
    for rank in range(2):
        part = copy.deepcopy(module)
        for name, style in part.tensor_parallel.items():
            linear = getattr(part, name)
            linear.weight = torch.nn.Parameter(linear.weight.chunk(2, dim=0 if style == "columns" else 1)[rank])
        halves.append(part(hidden_BTC, None, seen)[0])
    torch.testing.assert_close(sum(halves), whole, rtol=1e-4, atol=1e-5)


def test_heads_whose_queries_and_keys_are_normed_are_not_shared_out():
    assert config(heads=4, key_value_heads=2).divisible(WIDTH) == 2
    assert config(heads=4, key_value_heads=2, query_key_norm="rmsnorm").divisible(WIDTH) == 1


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
        ({"soft_cap": 0.0}, "soft_cap=0.0 is no bound"),
        ({"norm_of_all_heads": True}, "query_key_norm, which is null"),
    ],
)
def test_bad_options_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        config(**values)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="heads=5 does not divide width=12"):
        config(heads=5).head_width(12)
