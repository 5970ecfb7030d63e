"""RWKV-4: as the paper writes it, weight by weight."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.testing import ArchitectureKit
from harness_plugins.architecture.rwkv import wkv as module
from tests.plugins.architecture.recurrent import config, pieces_equal_the_whole, random, state_is_as_large_as_told


class TestRWKV(ArchitectureKit):
    config = config("rwkv")


class TestRWKVWithAnotherNormAndWidth(ArchitectureKit):
    config = config("rwkv", norm="rmsnorm", hidden=20, head={"name": "language_model", "tied": False})


def by_hand(keys_BTC, values_BTC, decay_C, first_C, inside_BT):
    """Peng et al. 2023, equation 14: every mean by itself, from the logarithms of its weights."""
    found = torch.empty_like(values_BTC)
    for row in range(len(keys_BTC)):
        for t in range(keys_BTC.shape[1]):
            seen = [s for s in range(t + 1) if inside_BT[row, s] == inside_BT[row, t]]
            weights = [first_C + keys_BTC[row, s] if s == t else keys_BTC[row, s] - (t - 1 - s) * decay_C for s in seen]
            found[row, t] = (torch.stack(weights).softmax(0) * values_BTC[row, seen]).sum(0)
    return found


def drawn(places, seed, strength=1.0):
    generator = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(2, places, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    decay, first = (torch.randn(3, generator=generator, dtype=torch.float64) for _ in range(2))
    inside = (torch.rand(2, places, generator=generator) < 0.2).cumsum(1)
    return keys * strength, values, decay.exp(), first, inside


@given(places=st.integers(1, 40), chunk=st.integers(1, 50), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_means_are_exact_in_chunks_of_any_size(places, chunk, seed):
    *tensors, inside = drawn(places, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        found, _ = module.wkv(*tensors, inside)
    torch.testing.assert_close(found, by_hand(*tensors, inside), rtol=1e-10, atol=1e-10)


def test_gradients_are_those_of_the_definition():
    *tensors, inside = drawn(17, seed=0)
    gradients = []
    for compute in (by_hand, lambda *x: module.wkv(*x)[0]):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        compute(*leaves, inside).sin().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("strength", [1e2, 1e4])
def test_keys_of_any_size_have_finite_means_and_gradients(strength):
    """e^1000 is beyond any float, and so is its inverse."""
    *tensors, inside = drawn(30, seed=0, strength=strength)
    single = [tensor.float().requires_grad_() for tensor in tensors]
    found, state = module.wkv(*single, inside)
    expected = by_hand(*(tensor.detach().double() for tensor in single), inside)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)
    (found.sum() + state[0].sum()).backward()
    assert all(tensor.grad.isfinite().all() for tensor in single)


def mixed_by_hand(mixer, hidden_TC):
    """Equations 11 to 16 and 18: each projection reads a place and the one before."""
    before_TC = torch.cat((torch.zeros_like(hidden_TC[:1]), hidden_TC[:-1]))

    def projected(name):
        share = getattr(mixer, f"{name}_shift").share[0, 0]
        return getattr(mixer, name)(share * hidden_TC + (1 - share) * before_TC)

    receptance_TC = projected("receptance").sigmoid()
    if not hasattr(mixer, "values"):
        return receptance_TC * mixer.out(projected("keys").relu().square())
    keys_BTC, values_BTC = projected("keys")[None], projected("values")[None]
    documents_BT = torch.zeros(1, len(hidden_TC), dtype=torch.int64)
    return mixer.out(receptance_TC * by_hand(keys_BTC, values_BTC, mixer.decay.exp(), mixer.first, documents_BT)[0])


@torch.no_grad()
@pytest.mark.parametrize("name", ["time_mix", "channel_mix"])
def test_the_mixers_are_what_the_paper_writes(name):
    mixer = random(config("rwkv").mixers(1)[name])
    hidden_BTC = torch.randn(2, 9, 16, dtype=torch.float64)
    found, _ = mixer(hidden_BTC, None, None)
    expected = torch.stack([mixed_by_hand(mixer, row_TC) for row_TC in hidden_BTC])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@given(st.sets(st.integers(1, 29), max_size=8))
@settings(max_examples=15)
def test_decoding_in_pieces_of_any_size_equals_the_whole(cuts):
    pieces_equal_the_whole(random(config("rwkv").build(50)), cuts, 30)


def test_the_state_is_as_large_as_told():
    state_is_as_large_as_told(config("rwkv"))


def test_layers_start_from_short_memories_to_long_ones():
    """Peng et al. 2023, appendix E."""
    model = config("rwkv", layers=3).build(50)
    for block in model.body.layers():
        decay = block.time_mix.decay
        assert (decay[0].item(), decay[-1].item()) == (-5.0, 3.0)
        assert (decay.diff() > 0).all()
    first, last = model.body.layers()[0].time_mix, model.body.layers()[-1].time_mix
    assert torch.equal(first.keys_shift.share[0, 0], torch.arange(16) / 16)
    assert (last.keys_shift.share[0, 0, 1:] > first.keys_shift.share[0, 0, 1:]).all()
