"""The distribution that is sampled from, against one worked out token by token; and the samples against it."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from harness.config import ConfigError, plugin_config


def sampler(**values):
    return plugin_config("sampler", {"name": "categorical", **values}, "sampler").build()


def worked_out(logits: list[float], temperature: float, top_k: int | None, top_p: float | None) -> list[float]:
    """Softmax at a temperature, the k likeliest, then the fewest of those that reach p; the rest made to sum to one."""
    weights = [math.exp(logit / temperature - max(logits) / temperature) for logit in logits]
    ranked = sorted(range(len(logits)), key=lambda token: -weights[token])[: top_k or len(logits)]
    total = sum(weights[token] for token in ranked)
    kept, reached = [], 0.0
    for token in ranked:
        if top_p is not None and reached >= top_p:
            break
        kept.append(token)
        reached += weights[token] / total
    total = sum(weights[token] for token in kept)
    return [weights[token] / total if token in kept else 0.0 for token in range(len(logits))]


@settings(deadline=None)
@given(
    # a grid of logits far enough apart that no cut falls within rounding error of a boundary, equal ones aside
    rows=st.lists(st.permutations([-2.0, -1.0, -0.35, 0.4, 1.1, 2.3]), min_size=1, max_size=3),
    temperature=st.sampled_from([0.3, 0.7, 1.0, 2.5]),
    top_k=st.one_of(st.none(), st.integers(1, 8)),
    top_p=st.one_of(st.none(), st.sampled_from([0.05, 0.31, 0.52, 0.77, 0.93, 0.999])),
)
def test_the_distribution_is_the_one_worked_out(rows, temperature, top_k, top_p):
    found = sampler(temperature=temperature, top_k=top_k, top_p=top_p).probabilities(torch.tensor(rows))
    expected = torch.tensor([worked_out(row, temperature, top_k, top_p) for row in rows])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_samples_follow_the_distribution():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    draw = sampler(temperature=0.8, top_k=3)
    n = 40_000
    tokens = draw(logits.expand(n, -1), torch.Generator().manual_seed(0))
    frequencies = torch.bincount(tokens, minlength=4) / n
    p = draw.probabilities(logits)[0]
    assert frequencies[3] == 0
    assert ((frequencies - p).abs() <= 4 * (p * (1 - p) / n).sqrt()).all()  # four standard errors


def test_logits_are_left_alone():
    logits = torch.tensor([[0.0, 1.0, 2.0]])
    sampler(top_k=1, top_p=0.5)(logits)
    assert torch.equal(logits, torch.tensor([[0.0, 1.0, 2.0]]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, "sampler=greedy"),
        ({"temperature": -1.0}, "not positive"),
        ({"top_k": 0}, "top_k=0 is too small"),
        ({"top_p": 0.0}, "no token would be left"),
        ({"top_p": 1.5}, "top_p=1.5 is too large"),
    ],
)
def test_bad_options_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        sampler(**values)
