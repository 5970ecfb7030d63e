"""T5's relative bias against its definition in loops, and against T5's own."""

import pytest
import torch

from harness.config import ConfigError, plugin_config
from harness_plugins.position.relative_bias.module import buckets

CPU = torch.device("cpu")


def config(**values):
    return plugin_config("position", {"name": "relative_bias", **values}, "position")


def bucket(ahead: int, count: int, longest: int, causal: bool) -> int:
    """Raffel et al. 2020, section 2.1, for one distance: `ahead` places from query to key."""
    first = 0
    if not causal:
        count //= 2
        first = count if ahead > 0 else 0
    distance = max(0, -ahead) if causal else abs(ahead)
    exact = count // 2
    if distance < exact:
        return first + distance
    shared = count - exact
    if distance >= longest:
        return first + count - 1
    # A bound that is a whole number belongs to the bucket that it begins, whatever the rounding.
    bounds = [exact * (longest / exact) ** (k / shared) for k in range(shared)]
    return first + exact + sum(distance > bound - 1e-6 for bound in bounds) - 1


SIZES = [(32, 128), (8, 20), (4, 3), (12, 50), (64, 500)]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("count", "longest"), SIZES)
def test_each_distance_has_its_bucket(count, longest, causal):
    ahead = torch.arange(-2 * longest, 2 * longest + 1)
    found = buckets(ahead, count, longest, causal)
    assert found.tolist() == [bucket(each, count, longest, causal) for each in ahead.tolist()]


@torch.no_grad()
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("count", "longest"), SIZES)
def test_it_is_t5s(count, longest, causal):
    from transformers import T5Config
    from transformers.models.t5.modeling_t5 import T5Attention

    there = T5Config(
        d_model=12, num_heads=3, d_kv=4, is_decoder=causal, relative_attention_num_buckets=count,
        relative_attention_max_distance=longest,
    )  # fmt: skip
    theirs = T5Attention(there, has_relative_attention_bias=True, layer_idx=0)
    position = config(buckets=count, longest=longest).build(12, 3, 4)
    theirs.relative_attention_bias.weight.normal_()
    position.table.weight.copy_(theirs.relative_attention_bias.weight)
    for queries, offset in ((2 * longest, 0), (3, longest), (1, 5)):
        expected = theirs.compute_bias(queries, offset + queries, past_seen_tokens=offset)
        assert torch.equal(position.bias(queries, offset, causal, CPU), expected)


def test_each_number_learns_from_every_place_that_it_is_added_at():
    position = config(buckets=8, longest=20).build(12, 2, 6)
    weights_HQK = torch.randn(2, 30, 30)
    (position.bias(30, 0, False, CPU)[0] * weights_HQK).sum().backward()
    expected = torch.zeros(8, 2)
    for query in range(30):
        for key in range(30):
            expected[bucket(key - query, 8, 20, False)] += weights_HQK[:, query, key]
    torch.testing.assert_close(position.table.weight.grad, expected, rtol=1e-4, atol=1e-4)


def test_its_table_is_in_the_account():
    ours = config(buckets=8, longest=20)
    assert ours.parameters(64, 6) == 8 * 6 == sum(p.numel() for p in ours.build(64, 6, 8).parameters())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"buckets": 9}, "buckets=9 is odd"),
        ({"buckets": 32, "longest": 16}, "the first 16 distances have buckets of their own"),
        ({"buckets": 2}, "buckets=2 is too small"),
    ],
)
def test_buckets_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        config(**values)
