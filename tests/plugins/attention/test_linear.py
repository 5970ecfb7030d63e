"""Linear attention in chunks, against its equations place by place and as a recurrence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.interfaces.visibility import Causal, Full, NotBefore, SameDocument
from harness.models.linear_attention import carried
from harness.testing import AttentionKit
from harness.testing.sees import sees, visibilities
from tests.attentions import WIDTH, by_hand, config, heads_of, in_pieces, passed, random_module

ROWS, LENGTH = 3, 21


class TestKit(AttentionKit):
    config = config("linear", heads=2, chunk=4)


def features(x):
    return torch.where(x > 0, x + 1, x.exp())


def weight(query_D, keys_KD):
    return features(keys_KD) @ features(query_D)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 4, 21, 64])
@pytest.mark.parametrize("name", list(visibilities(config("linear").visibilities, ROWS, LENGTH)))
def test_it_is_the_equation_for_every_visibility(name, chunk):
    options = config("linear", chunk=chunk, bias=True)
    module, hidden_BTC = random_module(options), torch.randn(ROWS, LENGTH, WIDTH)
    visibility = visibilities(options.visibilities, ROWS, LENGTH)[name]
    found, sees_BQK = passed(module, hidden_BTC, visibility), sees(visibility, ROWS, LENGTH)
    expected = by_hand(module, hidden_BTC, sees_BQK, weight)
    padding = visibility.get(NotBefore)
    is_real_BT = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    if padding is not None:  # what stands on padding is nobody's
        is_real_BT = torch.arange(LENGTH) >= padding.starts_B[:, None]
    torch.testing.assert_close(found[is_real_BT], expected[is_real_BT], rtol=1e-4, atol=1e-5)
    assert found.isfinite().all()


@torch.no_grad()
def test_it_is_a_recurrence_of_constant_size():
    """S_i = S_(i−1) + φ(k_i) v_iᵀ, z_i = z_(i−1) + φ(k_i) (Katharopoulos et al. 2020, equations 18 to 20)."""
    module, hidden_TC = random_module(config("linear", chunk=4, heads=1)), torch.randn(LENGTH, WIDTH)
    queries, keys, values = (
        heads_of(linear, hidden_TC, WIDTH)[:, 0] for linear in (module.queries, module.keys, module.values)
    )
    products_DD, sums_D, made = torch.zeros(WIDTH, WIDTH), torch.zeros(WIDTH), []
    for i in range(LENGTH):
        products_DD += torch.outer(features(keys[i]), values[i])
        sums_D += features(keys[i])
        made.append(features(queries[i]) @ products_DD / (features(queries[i]) @ sums_D))
    found = passed(module, hidden_TC[None], Causal())[0]
    torch.testing.assert_close(found, module.out(torch.stack(made)), rtol=1e-4, atol=1e-5)
    state = module.start(1, LENGTH)
    passed(module, hidden_TC[None], Causal(), state=state)
    torch.testing.assert_close(state.sums_BHFE[0, 0], torch.cat((products_DD, sums_D[:, None]), dim=1))


@torch.no_grad()
@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    chunk=st.integers(1, 8),
    starts=st.lists(st.integers(0, 4), min_size=2, max_size=2),
    ends=st.lists(st.integers(1, 54), max_size=3),
)
def test_decoding_in_any_pieces_equals_one_pass(lengths, chunk, starts, ends):
    places = sum(lengths)
    module, hidden_BTC = random_module(config("linear", chunk=chunk)), torch.randn(2, places, WIDTH)
    documents_BT = (torch.arange(places)[None, :, None] >= torch.tensor([[ends]]).long()).sum(-1).expand(2, -1)
    visibility = Causal() & NotBefore(torch.tensor(starts).clamp(max=places - 1)) & SameDocument(documents_BT)
    found = in_pieces(module, hidden_BTC, visibility, lengths)
    torch.testing.assert_close(found, passed(module, hidden_BTC, visibility), rtol=1e-4, atol=1e-5)


def test_sums_are_carried_as_long_as_the_document_goes_on():
    own = torch.randn(2, 1, 13, 2, 2)
    through_B1N11 = torch.rand(2, 1, 13, 1, 1) < 0.7
    before = torch.randn(2, 1, 2, 2)
    expected, last = [], before
    for n in range(13):
        last = own[:, :, n] + torch.where(through_B1N11[:, :, n], last, 0.0)
        expected.append(last)
    torch.testing.assert_close(carried(own, through_B1N11, before), torch.stack(expected, dim=2))
    everywhere = torch.ones_like(through_B1N11)
    torch.testing.assert_close(carried(own, everywhere, before), carried(own, None, before))


def test_gradients_are_those_of_the_equation():
    options = config("linear", chunk=4)
    module, hidden_BTC = random_module(options), torch.randn(ROWS, LENGTH, WIDTH, requires_grad=True)
    for visibility in visibilities(options.visibilities, ROWS, LENGTH).values():
        if visibility.get(NotBefore) is not None:
            continue
        sees_BQK, (found, expected) = sees(visibility, ROWS, LENGTH), (None, None)
        (found,) = torch.autograd.grad(passed(module, hidden_BTC, visibility).square().sum(), hidden_BTC)
        (expected,) = torch.autograd.grad(by_hand(module, hidden_BTC, sees_BQK, weight).square().sum(), hidden_BTC)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("visibility", [Causal(), Full()], ids=["causal", "full"])
def test_under_autocast_sums_are_of_float32(visibility):
    """bfloat16 knows no odd number above 256: a sum of ones would stand still there."""
    module = random_module(config("linear", heads=1))
    module.keys.weight.zero_()
    hidden_BTC = torch.ones(1, 600, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        state = module.start(1, 600)
        passed(module, hidden_BTC, visibility, state=state)
    assert state.sums_BHFE.dtype == torch.float32
    assert (state.sums_BHFE[..., -1] == 600).all()


@torch.no_grad()
def test_features_that_vanish_divide_nothing_by_zero():
    module = random_module(config("linear"))
    module.keys.weight.mul_(1e4)
    assert passed(module, torch.randn(2, 30, WIDTH), Causal()).isfinite().all()
