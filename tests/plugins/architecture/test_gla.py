"""Gated linear attention: as the paper writes it, one place after the other."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.testing import ArchitectureKit
from tests.plugins.architecture.recurrent import config, pieces_equal_the_whole, random, state_is_as_large_as_told


class TestGLA(ArchitectureKit):
    config = config("gla", chunk=4)


class TestGLAWithAnotherFeedforwardAndNorm(ArchitectureKit):
    config = config("gla", attention_heads=2, chunk=4, feedforward="mlp", norm="layernorm", expand_values=2.0)


def by_hand(mixer, hidden_TC, heads):
    """Yang et al. 2024, section 4.4: a loop over places and heads."""
    states, found = {}, []
    for x in hidden_TC:
        q, k, v = ((part(x)).reshape(heads, -1) for part in (mixer.queries, mixer.keys, mixer.values))
        alpha = mixer.decay_up(mixer.decay_down(x)).sigmoid().reshape(heads, -1) ** (1 / mixer.temperature)
        o = []
        for head in range(heads):
            states[head] = torch.diag(alpha[head]) @ states.get(head, torch.zeros(q.shape[1], v.shape[1]).double())
            states[head] = states[head] + torch.outer(k[head], v[head])
            o.append(mixer.norm(q[head] / q.shape[1] ** 0.5 @ states[head]))
        found.append(mixer.out(F.silu(mixer.gate(x)) * torch.cat(o)))
    return torch.stack(found)


@torch.no_grad()
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("chunk", [4, 16])
def test_the_mixer_is_what_the_paper_writes(heads, chunk):
    architecture = config("gla", attention_heads=heads, chunk=chunk, expand_values=1.5, decay_temperature=2.0)
    mixer = random(architecture.mixers(0)["mixer"])
    hidden_BTC = torch.randn(2, 19, 16, dtype=torch.float64)
    found, _ = mixer(hidden_BTC, None, None)
    expected = torch.stack([by_hand(mixer, row_TC, heads) for row_TC in hidden_BTC])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@given(st.sets(st.integers(1, 29), max_size=8))
@settings(max_examples=15)
def test_decoding_in_pieces_of_any_size_equals_the_whole(cuts):
    pieces_equal_the_whole(random(config("gla", chunk=4).build(50)), cuts, 30)


def test_the_state_is_as_large_as_told():
    state_is_as_large_as_told(config("gla", attention_heads=2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attention_heads": 3}, "attention_heads=3 does not divide the 8 channels that expand_keys"),
        ({"expand_values": 0.1}, "attention_heads=4 does not divide the 1 channels that expand_values"),
    ],
)
def test_what_cannot_be_built_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        config("gla", **values)
