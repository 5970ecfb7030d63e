"""Log-probabilities of answers, token by token and by chunks."""

from typing import Any

import pytest
import torch

from harness.models.log_probabilities import log_probabilities


@pytest.fixture
def inputs(transformer) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    head = transformer(init_std=0.5).build(50).heads["language_model"]
    counts_BT = torch.tensor([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1.0]])
    return head, torch.randn(3, 5, 32, requires_grad=True), torch.randint(50, (3, 5)), counts_BT


def by_hand(head: Any, hidden_BTC: torch.Tensor, targets_BT: torch.Tensor, counts_BT: torch.Tensor) -> torch.Tensor:
    logits_BTV = head(hidden_BTC).double()
    logp_BTV = logits_BTV - logits_BTV.exp().sum(-1, keepdim=True).log()
    rows = [
        sum(
            (logp_BTV[b, t, targets_BT[b, t]] for t in range(5) if counts_BT[b, t]), torch.zeros((), dtype=torch.double)
        )
        for b in range(3)
    ]
    return torch.stack(rows)


@pytest.mark.parametrize("chunk", [None, 1, 3, 100])
def test_they_and_their_gradients_are_those_of_all_logits(inputs, chunk: int | None):
    head, hidden_BTC, targets_BT, counts_BT = inputs
    factors_B = torch.tensor([0.3, 5.0, -1.2], dtype=torch.double)
    found = []
    for logp_B in (by_hand(*inputs), log_probabilities(head, hidden_BTC, targets_BT, counts_BT, chunk)):
        gradients = torch.autograd.grad((logp_B * factors_B).sum(), [hidden_BTC, head.weight])
        found.append((logp_B, *gradients))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert found[1][0][1] == 0.0
    assert found[1][0].dtype == torch.float64


@pytest.mark.parametrize("chunk", [None, 2])
def test_no_more_logits_are_made_than_answers_have_tokens(inputs, chunk: int | None):
    head, hidden_BTC, targets_BT, counts_BT = inputs
    made: list[int] = []
    head.register_forward_hook(lambda _, __, logits: made.append(logits.numel() // 50))
    log_probabilities(head, hidden_BTC, targets_BT, counts_BT, chunk).sum().backward()
    answers = int(counts_BT.sum())
    assert made == [answers] if chunk is None else (max(made) == chunk and sum(made) == 2 * answers)
