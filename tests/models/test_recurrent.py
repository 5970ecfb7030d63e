"""Linear recurrences chunk by chunk, and where memory starts anew, against a loop over places in double precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.interfaces.visibility import Causal, NotBefore, SameDocument
from harness.models.recurrent.body import earlier, stretches
from harness.models.recurrent.chunks import recurrence


def one_by_one(queries, keys, values, log_decay, inside, state):
    """S_t = exp(log_decay_t) S_{t−1} + k_t v_tᵀ and y_t = S_tᵀ q_t, as it is written down."""
    shared = values.shape[2] // queries.shape[2]
    queries, keys = (x.repeat_interleave(shared, dim=2) for x in (queries, keys))
    found = []
    for place in range(values.shape[1]):
        fresh = inside[:, place] != (inside[:, place - 1] if place else 0)
        state = state * ~fresh[:, None, None, None]
        added = torch.einsum("bhk,bhv->bhkv", keys[:, place], values[:, place])
        state = log_decay[:, place].exp()[..., None] * state + added
        found.append(torch.einsum("bhk,bhkv->bhv", queries[:, place], state))
    return torch.stack(found, dim=1), state


def drawn(places, groups, heads, by_channel, seed, strength=1.0):
    random = torch.Generator().manual_seed(seed)
    shapes = (2, places, groups, 5), (2, places, groups, 5), (2, places, heads, 3)
    tensors = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]
    decay = torch.randn(2, places, heads, 5 if by_channel else 1, generator=random, dtype=torch.float64)
    inside = (torch.rand(2, places, generator=random) < 0.2).cumsum(1)
    return *tensors, -strength * decay.exp(), inside, torch.randn(2, heads, 5, 3, generator=random, dtype=torch.float64)


@given(
    places=st.integers(1, 40),
    chunk=st.integers(1, 50),
    layout=st.sampled_from([(1, 4, False), (2, 4, False), (4, 4, False), (4, 4, True)]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_chunks_are_exact(places, chunk, layout, seed):
    queries, keys, values, log_decay, inside, state = drawn(places, *layout, seed)
    expected = one_by_one(queries, keys, values, log_decay, inside, state)
    found = recurrence(queries, keys, values, log_decay, chunk, inside, state)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("by_channel", [False, True])
def test_without_documents_and_a_state_there_is_one_memory_that_begins_with_nothing(by_channel):
    queries, keys, values, log_decay, inside, state = drawn(23, 4, 4, by_channel, seed=0)
    expected = one_by_one(queries, keys, values, log_decay, torch.zeros_like(inside), torch.zeros_like(state))
    for found, reference in zip(recurrence(queries, keys, values, log_decay, 8), expected, strict=True):
        torch.testing.assert_close(found, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("by_channel", [False, True])
def test_decays_of_any_strength_have_finite_results_and_gradients(by_channel):
    """Behind a place that forgets everything small decays keep their digits, also in single precision."""
    *tensors, log_decay, inside, state = drawn(64, 4, 4, by_channel, seed=0, strength=0.01)
    log_decay[:, 3::20] = -1e4
    tensors = [*tensors, log_decay]
    expected, _ = one_by_one(*tensors, inside * 0, state)
    single = [tensor.float().requires_grad_() for tensor in tensors]
    found, _ = recurrence(*single, 64, None, state.float())
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-5
    found.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in single)


@pytest.mark.parametrize("by_channel", [False, True])
def test_gradients_are_those_of_the_loop(by_channel):
    *tensors, inside, state = drawn(19, 4, 4, by_channel, seed=0)
    gradients = []
    for compute in (lambda *x: one_by_one(*x, inside, state), lambda *x: recurrence(*x, 8, inside, state)):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        mixed, last = compute(*leaves)
        (mixed.sin().sum() + last.sin().sum()).backward()
        gradients.append([leaf.grad for leaf in leaves])
    for found, expected in zip(*reversed(gradients), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_stretches_begin_where_documents_do_and_where_padding_ends():
    documents_BT = torch.tensor([[5, 5, 2, 2, 2, 7]])
    cpu = torch.device("cpu")
    assert stretches(Causal() & SameDocument(documents_BT), 6, 0, cpu).tolist() == [[0, 0, 1, 1, 1, 2]]
    assert stretches(Causal() & SameDocument(documents_BT), 3, 2, cpu).tolist() == [[1, 1, 1]]
    assert stretches(Causal() & SameDocument(documents_BT), 3, 3, cpu).tolist() == [[0, 0, 1]]
    assert stretches(Causal() & NotBefore(torch.tensor([0, 2])), 3, 0, cpu).tolist() == [[1, 1, 1], [0, 0, 1]]
    assert stretches(Causal() & NotBefore(torch.tensor([0, 2])), 3, 3, cpu).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert stretches(Causal() & Causal(), 3, 0, cpu) is None


def test_what_is_earlier_is_known_from_pass_to_pass_and_ends_at_the_start_of_a_stretch():
    hidden_BTC, inside_BT = torch.arange(1.0, 8.0).reshape(1, 7, 1), torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
    (one, two), kept = earlier(hidden_BTC, 2, inside_BT, None)
    assert one.flatten().tolist() == [0, 1, 2, 0, 4, 5, 6]
    assert two.flatten().tolist() == [0, 0, 1, 0, 0, 4, 5]
    assert kept.flatten().tolist() == [6, 7]
    _, kept = earlier(hidden_BTC[:, :4], 2, inside_BT[:, :4], None)
    assert kept.flatten().tolist() == [0, 4]
    (one, two), _ = earlier(hidden_BTC[:, 4:], 2, inside_BT[:, 4:] - 1, kept)
    assert one.flatten().tolist() == [4, 5, 6]
    assert two.flatten().tolist() == [0, 4, 5]
