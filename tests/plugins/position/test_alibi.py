"""ALiBi against the paper's rule in loops, and against BLOOM's."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.config import plugin_config
from harness_plugins.position.alibi.module import slopes

CPU = torch.device("cpu")


def geometric(heads: int) -> list[float]:
    """Press et al. 2022, section 3: 2^(−8/n), and each next one that times itself."""
    return [(2 ** (-8 / heads)) ** (head + 1) for head in range(heads)]


def alibi(heads: int):
    return plugin_config("position", "alibi", "position").build(64, heads, 8)


@given(st.integers(1, 200))
def test_slopes_are_the_authors(heads):
    """Of a number that is no power of two: those of the power below, then every second one of the power above."""
    below = 2 ** int(math.log2(heads))
    expected = (geometric(below) + geometric(2 * below)[::2])[:heads]
    assert slopes(heads, CPU).tolist() == pytest.approx(expected, rel=1e-5)
    assert len(set(expected)) == heads


@given(heads=st.integers(1, 12), queries=st.integers(1, 6), offset=st.integers(0, 5), causal=st.booleans())
def test_scores_fall_with_distance_by_the_heads_slope(heads, queries, offset, causal):
    bias = alibi(heads).bias(queries, offset, causal, CPU)
    assert bias.shape == (1, heads, queries, offset + queries)
    for head, slope in enumerate(slopes(heads, CPU).tolist()):
        for query in range(queries):
            for key in range(offset + queries):
                assert bias[0, head, query, key].item() == pytest.approx(-slope * abs(offset + query - key), rel=1e-6)


@pytest.mark.parametrize("heads", [1, 4, 6, 12])
def test_attention_is_that_of_bloom(heads):
    """BLOOM adds slope · place of the key, which differs in each row by a number that the softmax does not see."""
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    theirs = build_alibi_tensor(torch.ones(1, 9), heads, torch.float32).view(1, heads, 1, 9)
    ours = alibi(heads).bias(9, 0, True, CPU)
    unseen = torch.ones(9, 9, dtype=torch.bool).triu(1)
    weights = [(bias + torch.zeros(9, 1)).masked_fill(unseen, -torch.inf).softmax(-1) for bias in (ours, theirs)]
    torch.testing.assert_close(*weights)


def test_it_has_no_parameters():
    config = plugin_config("position", "alibi", "position")
    assert config.biased
    assert config.parameters(64, 8) == 0 == sum(p.numel() for p in config.build(64, 8, 8).parameters())
