"""The n-gram model in the one training loop: counts, equal to a slow reference and to the baselines of reports."""

import json
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import main
from harness.config import ConfigError, plugin_config
from harness.interfaces.batch import Batch
from harness.interfaces.visibility import Causal, NotBefore, SameDocument
from harness.models.cross_entropy import cross_entropy
from harness.models.learners import Seen, learners
from harness.models.roles import roles
from harness.scoring.ngram import NGram
from harness.testing import ArchitectureKit
from harness.testing.check import skip
from harness.testing.sees import window

VOCABULARY = 4


def config(order=3, **values):
    return plugin_config("architecture", {"name": "ngram", "order": order, **values}, "architecture")


class TestNgram(ArchitectureKit):
    """What it knows are its counts, so what the kit asks of parameters and of channels is asked below."""

    config = config(3)

    def limits(self):
        return [window(2)]

    def test_shapes_and_dtypes(self):
        skip("its hidden states are numbers of tokens, float32 in every precision")

    def test_embeddings_do_what_their_tokens_do(self):
        skip("it has no embeddings")

    def test_the_seed_decides_and_nothing_else(self):
        skip("nothing in it is drawn")

    def test_every_parameter_gets_a_gradient(self):
        skip("a discount of nothing that was counted has none")

    def test_it_learns_by_heart(self):
        skip("it learns after the optimizer's step")

    def test_flops_are_as_declared(self):
        skip("how much is read of its counts depends on them, and nothing of it is a matrix product")


def batch(rows: list[list[int]], documents: list[list[int]] | None = None, weights=None) -> Batch:
    tokens_BS = torch.tensor(rows)
    return Batch(
        inputs_BT=tokens_BS[:, :-1],
        targets_BT=tokens_BS[:, 1:],
        weights_BT=torch.ones(tokens_BS[:, 1:].shape) if weights is None else torch.tensor(weights),
        places_B=torch.arange(len(rows)),
        documents_BT=torch.tensor(documents)[:, :-1] if documents else None,
    )


def learned(order: int, *batches: Batch):
    model = config(order).build(VOCABULARY)
    for each in batches:
        for learner in learners(model).values():
            learner.learn(Seen([each]))
    return model


def reference(grams: list[tuple], order: int, context: tuple, token: int, shifts=None) -> float:
    """Interpolated Kneser–Ney as Chen & Goodman write it, one n-gram at a time, counted in dicts. grams: those of the
    highest order; context: order − 1 tokens, None where there is none."""
    counts: list[Counter] = [Counter() for _ in range(order + 1)]
    counts[order].update(grams)
    for length in range(order - 1, 0, -1):
        before = defaultdict(set)
        for gram in counts[length + 1]:
            before[gram[1:]].add(gram[0])
        counts[length] = Counter({gram: len(distinct) for gram, distinct in before.items()})

    def probability(context: tuple) -> float:
        length = len(context) + 1
        lower = probability(context[1:]) if length > 1 else 1 / VOCABULARY
        following = {gram: count for gram, count in counts[length].items() if gram[:-1] == context}
        if not following:
            return lower
        values = list(counts[length].values())
        once, twice = values.count(1), values.count(2)
        discount = once / (once + 2 * twice) if once and twice else 0.5
        if shifts:
            discount = 1 / (1 + math.exp(-(math.log(discount / (1 - discount)) + shifts[length - 1])))
        total = sum(following.values())
        direct = max(following.get((*context, token), 0) - discount, 0) / total
        return direct + discount * len(following) / total * lower

    return probability(context)


def grams_of(rows: list[list[int]], order: int) -> list[tuple]:
    """Of every token but a row's first, with None where nothing is."""
    padded = [[None] * order + row for row in rows]
    return [tuple(row[i - order + 1 : i + 1]) for row in padded for i in range(order + 1, len(row))]


rows = st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5)


@settings(max_examples=40)
@given(seen=rows, more=rows, order=st.integers(1, 4), shifts=st.lists(st.floats(-2, 2), min_size=4, max_size=4))
@torch.no_grad()
def test_it_is_kneser_ney_of_what_it_has_seen_step_by_step(seen, more, order, shifts):
    model = learned(order, batch(seen), batch(more))
    model.heads["language_model"].shifts_O.copy_(torch.tensor(shifts[:order]))
    shifts = model.heads["language_model"].shifts_O.tolist()
    found = model.logits(batch(more).inputs_BT).exp()
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:2], dtype=torch.float64))
    grams = grams_of(seen, order) + grams_of(more, order)
    for place in (0, 1, 4):
        before = ([None] * order + more[0][: place + 1])[-(order - 1) :] if order > 1 else []
        expected = [reference(grams, order, tuple(before), token, shifts) for token in range(VOCABULARY)]
        assert found[0, place].tolist() == pytest.approx(expected, abs=1e-9)


def test_before_it_has_seen_anything_all_tokens_are_alike():
    logits = config().build(VOCABULARY).logits(torch.tensor([[1, 2, 3]]))
    torch.testing.assert_close(logits, torch.full((1, 3, VOCABULARY), math.log(1 / VOCABULARY), dtype=torch.float64))


@settings(max_examples=20)
@given(seen=rows, more=rows, order=st.integers(1, 3))
def test_the_order_of_micro_batches_changes_nothing(seen, more, order):
    one, two = learned(order, batch(seen), batch(more)).state_dict(), learned(order, batch(more + seen)).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@torch.no_grad()
def test_it_is_the_bigram_of_reports_when_both_count_the_same():
    """Where only the first token of each row has no context, both count and foretell the same."""
    rng = np.random.default_rng(0)
    seen, asked = rng.integers(0, 3, (20, 9)) + rng.integers(0, 2, (20, 9)), rng.integers(0, 4, (5, 9))
    model = learned(2, batch(seen.tolist()))
    baseline = NGram(seen.flatten(), 2, VOCABULARY, starts=np.array([], dtype=int), seams=np.arange(0, 180, 9))
    logits = model.logits(torch.from_numpy(asked[:, :-1]))
    found = logits.gather(2, torch.from_numpy(asked[:, 1:])[..., None])[..., 0]
    expected = baseline.log_probabilities(asked.flatten(), np.arange(0, 45, 9)).reshape(5, 9)[:, 1:]
    assert found.numpy() == pytest.approx(expected, abs=1e-12)


@torch.no_grad()
def test_a_document_neither_sees_nor_counts_the_one_before_it():
    packed = batch([[0, 1, 2, 3, 3, 1, 0]], documents=[[0, 0, 0, 1, 1, 1, 1]])
    model = learned(3, packed)
    # The target 3 at the border belongs to what stands before it, as in every packed row.
    counted = model.heads["language_model"].levels[2]
    base = VOCABULARY + 1
    found = {(int(k) // base**2, int(k) // base % base, int(k) % base) for k in counted.keys_G}
    assert found == {(4, 0, 1), (0, 1, 2), (1, 2, 3), (4, 3, 3), (3, 3, 1), (3, 1, 0)}
    together = model.logits(packed.inputs_BT, visibility=Causal() & SameDocument(packed.documents_BT))
    alone = torch.cat([model.logits(part) for part in packed.inputs_BT.split([3, 3], dim=1)], dim=1)
    assert torch.equal(together, alone)


@torch.no_grad()
@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("cuts", [[6], [1] * 6, [2, 4]])
def test_decoding_with_a_state_equals_the_whole_and_padding_is_nothing(order, cuts):
    model = learned(order, batch([[0, 1, 2, 0, 1, 3, 0], [1, 1, 2, 2, 0, 3, 1]]))
    inputs = torch.tensor([[0, 1, 2, 0, 1, 3], [0, 0, 1, 2, 2, 0]])
    visibility = Causal() & NotBefore(torch.tensor([0, 2]))
    whole, state = model.logits(inputs, visibility=visibility), model.body.start(2, 6)
    parts = [model.logits(part, visibility=visibility, state=state) for part in inputs.split(cuts, dim=1)]
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert torch.equal(whole[1, 2:], model.logits(inputs[1:, 2:])[0])


def test_only_targets_with_a_weight_are_counted():
    seen = batch([[0, 1, 2, 3]], weights=[[0.0, 1.0, 1.0]])
    counted = learned(1, seen).heads["language_model"].levels[0]
    assert counted.keys_G.tolist() == [2, 3]


def test_the_discounts_learn_also_by_chunks():
    model, seen = learned(3, batch([[0, 1, 2, 0, 1, 1, 0], [0, 1, 2, 2, 0, 2, 1]])), batch([[0, 1, 2, 1, 3, 0, 1]])
    head, gradients = model.heads["language_model"], []
    for chunk in (None, 2):
        head.shifts_O.grad = None
        hidden = model.body(seen.inputs_BT, visibility=Causal()).hidden_BTC
        cross_entropy(head, hidden, seen.targets_BT, seen.weights_BT, chunk).backward()
        gradients.append(head.shifts_O.grad)
    assert gradients[0].abs().min() > 0
    torch.testing.assert_close(*gradients)
    assert roles(model) == {"heads.language_model.shifts_O": "bias"}


def test_what_it_costs_is_said():
    counted = config().counts(512, 128)
    assert [(part.parameters, part.flops, part.embedding) for part in counted] == [(3, 0, True)]
    with pytest.raises(ConfigError, match="order=5: so many tokens of a vocabulary of 50257 do not fit into the 64"):
        config(order=5).counts(50257, 128)


def test_it_counts_what_a_mixture_of_objectives_shows(tmp_path):
    mixture = ["objective=mixture", "+method.objectives.clm.name=clm", "+method.objectives.fim.rate=0.5"]
    words = ["architecture=ngram", "tokenizer=bytes", "corpus=synthetic", "corpus.documents=300", "suite=null"]
    sizes = ["data.sequence_length=48", "data.batch_size=8", "budget.tokens=8192", f"runs={tmp_path}"]
    assert main(["train", *words, *sizes, *mixture]) == 0
    (result,) = (json.loads(path.read_text())["result"] for path in tmp_path.glob("*/manifest.json"))
    guessing = math.log(257)
    assert result["held_out_loss"] < 0.9 * guessing, "it has learned nothing"
