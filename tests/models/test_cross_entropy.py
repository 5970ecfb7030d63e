"""Cross-entropy by chunks against cross-entropy at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.interfaces.visibility import Causal
from harness.models.cross_entropy import cross_entropy

ROWS, LENGTH, WIDTH, VOCABULARY = 2, 7, 8, 11


def example(kind=torch.float32, bias=True):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    head = nn.Linear(WIDTH, VOCABULARY, bias=bias, dtype=kind)
    hidden_BTC = torch.randn(ROWS, LENGTH, WIDTH, generator=generator).to(kind).requires_grad_()
    targets_BT = torch.randint(VOCABULARY, (ROWS, LENGTH), generator=generator)
    weights_BT = torch.rand(ROWS, LENGTH, generator=generator)
    weights_BT[0, 2:4] = 0.0
    return head, hidden_BTC, targets_BT, weights_BT


def with_gradients(head, hidden_BTC, *rest, chunk, factor=1.0):
    loss = cross_entropy(head, hidden_BTC, *rest, chunk)
    return loss.detach(), torch.autograd.grad(loss * factor, (hidden_BTC, *head.parameters()))


def test_it_is_the_weighted_sum_of_minus_log_p():
    head, hidden_BTC, targets_BT, weights_BT = example(torch.float64)
    p_BTV = head(hidden_BTC).exp()
    p_BTV = p_BTV / p_BTV.sum(dim=-1, keepdim=True)
    nats_BT = -p_BTV.gather(2, targets_BT[..., None]).squeeze(2).log()
    for chunk in (None, 3):
        found = cross_entropy(head, hidden_BTC, targets_BT, weights_BT, chunk)
        torch.testing.assert_close(found, (nats_BT * weights_BT).sum())


@settings(deadline=None, max_examples=30)
@given(chunk=st.integers(1, ROWS * LENGTH + 2), factor=st.floats(-4, 4))
def test_chunks_change_neither_the_loss_nor_a_gradient(chunk, factor):
    """Whatever the chunk, also one that does not divide the places, and whatever the loss is multiplied by later."""
    given_ = example(torch.float64)
    loss, gradients = with_gradients(*given_, chunk=None, factor=factor)
    found, found_gradients = with_gradients(*given_, chunk=chunk, factor=factor)
    torch.testing.assert_close(found, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found_gradients, gradients, rtol=1e-12, atol=1e-12)


def test_in_float32_and_in_bfloat16():
    for kind, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 1e-2)):
        given_ = example(kind)
        loss, gradients = with_gradients(*given_, chunk=None)
        found, found_gradients = with_gradients(*given_, chunk=4)
        assert found.dtype == torch.float32
        assert float(found) == pytest.approx(float(loss), rel=1e-6)
        for gradient, expected in zip(found_gradients, gradients, strict=True):
            assert gradient.dtype == kind
            assert (gradient - expected).norm() <= tolerance * expected.norm()


def test_its_gradients_are_its_derivatives():
    head, hidden_BTC, targets_BT, weights_BT = example(torch.float64)

    def loss(hidden_BTC, *_):
        return cross_entropy(head, hidden_BTC, targets_BT, weights_BT, 4)

    assert torch.autograd.gradcheck(loss, (hidden_BTC, *head.parameters()))


@pytest.mark.parametrize("grad", [True, False])
def test_no_more_logits_than_a_chunk_are_made_at_once(grad):
    head, *given_ = example()
    made = []
    head.register_forward_hook(lambda _, inputs, output: made.append(output.shape[:-1].numel()))
    with torch.set_grad_enabled(grad):
        loss = cross_entropy(head, *given_, 4)
        torch.testing.assert_close(loss, cross_entropy(head, *given_))
    assert made == [4, 4, 4, 2, ROWS * LENGTH]


def test_what_is_frozen_gets_no_gradient():
    head, hidden_BTC, *rest = example()
    head.weight.requires_grad_(False)
    cross_entropy(head, hidden_BTC, *rest, 4).backward()
    assert head.weight.grad is None
    assert head.bias.grad is not None
    assert hidden_BTC.grad is not None


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("options", [{}, {"bias": True, "scale": 0.5, "scale_by_width": True, "soft_cap": 2.0}])
def test_in_a_model_with_its_head_tied_or_not_under_autocast_or_not(transformer, tied, precision, options):
    torch.manual_seed(0)
    model = transformer(head={"name": "language_model", "tied": tied, **options}, init_std=0.3).build(50)
    inputs_BT = torch.randint(50, (2, 9))
    found = []
    for chunk in (None, 4):
        model.zero_grad()
        with torch.autocast("cpu", precision, enabled=precision is not None):
            hidden_BTC = model.body(inputs_BT, visibility=Causal()).hidden_BTC
            loss = cross_entropy(model.heads["language_model"], hidden_BTC, inputs_BT, torch.ones(2, 9), chunk)
        (loss / 18).backward()
        found.append((float(loss.detach()), [parameter.grad.clone() for parameter in model.parameters()]))
    (loss, gradients), (again, gradients_again) = found
    assert again == pytest.approx(loss, rel=1e-6)
    for gradient, expected in zip(gradients_again, gradients, strict=True):
        assert (gradient - expected).norm() <= (1e-5 if precision is None else 2e-2) * expected.norm()
