"""Mamba-2: as the paper writes it, one place after the other."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UserError
from harness.testing import ArchitectureKit
from tests.plugins.architecture.recurrent import config, pieces_equal_the_whole, random, state_is_as_large_as_told


class TestMamba2(ArchitectureKit):
    config = config("mamba2", channels=8, state=8, chunk=4)


class TestMamba2WithGroupsAndBiases(ArchitectureKit):
    config = config("mamba2", channels=8, state=4, groups=2, bias=True, convolution_bias=False, taps=2, chunk=4)


def by_hand(mixer, hidden_TC, groups, channels):
    """Dao, Gu 2024, figure 6: a loop over places, heads and taps."""

    def convolved(name, place):
        convolution, projected_TC = getattr(mixer, f"{name}_convolution"), getattr(mixer, name)(hidden_TC)
        taps = convolution.weight.shape[-1]
        seen = [(tap, place - taps + 1 + tap) for tap in range(taps) if place - taps + 1 + tap >= 0]
        summed = sum(convolution.weight[:, 0, tap] * projected_TC[at] for tap, at in seen)
        return F.silu(summed + convolution.bias)

    states, found = {}, []
    heads = len(mixer.D)
    for place in range(len(hidden_TC)):
        x, B, C = (convolved(name, place) for name in ("values", "keys", "queries"))
        dt = F.softplus(mixer.steps(hidden_TC[place]) + mixer.dt_bias)
        y = []
        for head in range(heads):
            group = head * groups // heads
            x_h = x[head * channels : (head + 1) * channels]
            B_h, C_h = (each.reshape(groups, -1)[group] for each in (B, C))
            decayed = states.get(head, 0.0) * torch.exp(-dt[head] * torch.exp(mixer.A_log[head]))
            states[head] = decayed + dt[head] * torch.outer(B_h, x_h)
            y.append(C_h @ states[head] + mixer.D[head] * x_h)
        gated = torch.cat(y) * F.silu(mixer.gate(hidden_TC[place]))
        in_groups = gated.reshape(groups, -1)
        normed = in_groups / (in_groups.square().mean(1, keepdim=True) + mixer.norm.epsilon).sqrt()
        found.append(mixer.out(normed.flatten() * mixer.norm.weight))
    return torch.stack(found)


@torch.no_grad()
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("chunk", [4, 64])
def test_the_mixer_is_what_the_paper_writes(groups, chunk):
    architecture = config("mamba2", channels=8, state=5, groups=groups, bias=True, chunk=chunk)
    mixer = random(architecture.mixers(0)["mixer"])
    hidden_BTC = torch.randn(2, 19, 16, dtype=torch.float64)
    found, _ = mixer(hidden_BTC, None, None)
    expected = torch.stack([by_hand(mixer, row_TC, groups, 8) for row_TC in hidden_BTC])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@given(st.sets(st.integers(1, 29), max_size=8))
@settings(max_examples=15)
def test_decoding_in_pieces_of_any_size_equals_the_whole(cuts):
    pieces_equal_the_whole(random(config("mamba2", channels=8, state=4, chunk=4).build(50)), cuts, 30)


def test_the_state_is_as_large_as_told():
    state_is_as_large_as_told(config("mamba2", channels=8, state=5, groups=2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": 5}, "channels=5 does not divide the 32 channels"),
        ({"channels": 16, "groups": 3}, "groups=3 does not divide the 2 heads"),
        ({"chunk": 0}, "chunk=0 is too small"),
    ],
)
def test_what_cannot_be_built_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        config("mamba2", **values)


def test_rates_and_steps_start_in_their_ranges():
    model = config("mamba2", width=64, channels=1, layers=3).build(50)
    for block in model.body.layers():
        rates, steps = block.mixer.A_log.exp(), F.softplus(block.mixer.dt_bias)
        assert 1.0 <= rates.min() < 3.0 < 14.0 < rates.max() <= 16.0
        assert 1e-3 * 0.999 <= steps.min() < 2e-3 < 5e-2 < steps.max() <= 0.1 * 1.001
