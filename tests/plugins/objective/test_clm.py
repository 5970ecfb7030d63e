"""Causal language modelling."""

from typing import Any

import numpy as np
import pytest
import torch

from harness.interfaces.architecture import Output
from harness.interfaces.batch import Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Causal, SameDocument, Visibility
from harness.registry import registry

TOKENS_BS = np.array([[5, 6, 9, 7, 8, 9], [1, 2, 3, 4, 9, 1]])  # 9 is the end token, which opens the next document
DOCUMENTS_BS = np.array([[0, 0, 1, 1, 1, 2], [0, 0, 0, 0, 1, 1]])
SEQUENCES = Sequences(TOKENS_BS, DOCUMENTS_BS, np.array([10, 11]))


def clm(attend_across_documents: bool = True, **values: Any) -> Any:
    return (
        registry()
        .get("objective", "clm")(name="clm", **values)
        .build(Setting(tokenizer=None, attend_across_documents=attend_across_documents))
    )


def prepare(method: Any) -> Any:
    def nothing(place: int) -> np.random.Generator:
        raise AssertionError("nothing about it is random")

    return method.prepare(SEQUENCES, nothing)


class Guesser:
    """A model that gives every token the same logits everywhere, and keeps what it was asked."""

    def __init__(self, logits_V: torch.Tensor, auxiliary: dict[str, Any] | None = None) -> None:
        self.logits_V, self.auxiliary = logits_V, auxiliary or {}
        self.asked: dict[str, Any] = {}
        self.heads = {"language_model": lambda hidden_BTC: self.logits_V.expand(*hidden_BTC.shape[:2], -1)}

    def body(self, inputs_BT: torch.Tensor, **asked: Any) -> Output:
        self.asked = asked
        return Output(torch.zeros(*inputs_BT.shape, 1), auxiliary=self.auxiliary)


def test_targets_are_the_inputs_one_place_on():
    batch = prepare(clm())
    assert batch.inputs_BT.tolist() == TOKENS_BS[:, :-1].tolist()
    assert batch.targets_BT.tolist() == TOKENS_BS[:, 1:].tolist()
    assert batch.places_B.tolist() == [10, 11]


def test_every_target_counts_also_where_a_document_begins():
    method = clm(attend_across_documents=False)
    assert method.counts(prepare(method)) == {"clm": 10.0}


def test_positions_and_documents_restart_only_where_attention_does():
    apart, across = prepare(clm(attend_across_documents=False)), prepare(clm())
    assert apart.documents_BT.tolist() == DOCUMENTS_BS[:, :-1].tolist()
    assert apart.positions_BT.tolist() == [[0, 1, 0, 1, 2], [0, 1, 2, 3, 0]]
    assert across.documents_BT is None
    assert across.positions_BT is None


@pytest.mark.parametrize(("across", "kinds"), [(True, {Causal}), (False, {Causal, SameDocument})])
def test_it_asks_for_causal_visibility_within_documents(across: bool, kinds: set[type]):
    method, model = clm(across), Guesser(torch.zeros(10))
    method.losses(model, prepare(method))
    visibility = model.asked["visibility"]
    assert isinstance(visibility, Visibility)
    assert visibility.kinds() == kinds


def test_the_loss_is_the_weighted_sum_of_minus_log_p():
    p_V = torch.arange(1.0, 11.0) / 55
    method = clm()
    batch = prepare(method)
    batch.weights_BT = torch.tensor([[1.0, 0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0, 2.0]])
    nats = -p_V.log()
    by_hand = 1.0 * nats[6] + 0.5 * nats[7] + nats[8] + nats[9] + 2.0 * nats[1]
    assert float(method.losses(Guesser(p_V.log() + 3), batch)["clm"]) == pytest.approx(float(by_hand), rel=1e-6)
    assert method.counts(batch) == {"clm": 5.5}


def test_auxiliary_losses_of_the_body_travel_along_as_means():
    method = clm()
    model = Guesser(torch.zeros(10), {"balance": (torch.tensor(6.0), 4.0)})
    assert float(method.losses(model, prepare(method))["balance"]) == 1.5


def test_cross_entropy_is_in_float32_whatever_the_logits():
    method = clm()
    assert method.losses(Guesser(torch.zeros(10, dtype=torch.bfloat16)), prepare(method))["clm"].dtype == torch.float32


def test_the_loss_is_the_same_by_chunks_of_logits(transformer):
    model = transformer().build(10)
    whole, by_chunks = (clm(logits_chunk=chunk) for chunk in (None, 3))
    batch = prepare(whole)
    expected = float(whole.losses(model, batch)["clm"].detach())
    assert float(by_chunks.losses(model, batch)["clm"].detach()) == pytest.approx(expected, rel=1e-6)
