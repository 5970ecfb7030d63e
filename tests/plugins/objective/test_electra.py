"""Replaced token detection: against a loop over places, as it is drawn, counted, scored and chosen by a user."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.cli import main
from harness.composition import run_config
from harness.config import ConfigError, plugin_config
from harness.interfaces.likelihood import Asked
from harness.interfaces.visibility import Causal, Full
from harness.models.meta import build_on_meta
from harness.planning.plan import resolve
from harness.registry import registry
from harness.rundir import RunDir
from harness.scoring.encoder import Encoder
from harness.scoring.model import LanguageModel
from harness.testing import HeadKit, ObjectiveKit
from harness.testing.objective import Letters, keyed, sequences, setting
from harness.testing.pairing import Pairing, scorer
from harness.testing.parts import in_transformer

ELECTRA = plugin_config("objective", "electra", "objective")
MASK = Letters.size


def detection(**values):
    config = plugin_config("objective", {"name": "electra", **values}, "objective")
    return config.build(setting(config, Letters()))


def build(transformer, **changes):
    torch.manual_seed(0)
    return transformer(head="replaced_token", init_std=0.5, **changes).build(MASK + 1).double()


@torch.no_grad()
def by_hand(model, batch):
    """Each hidden token drawn by walking up its probabilities, and each token of the result judged by itself."""
    proposed, hidden_nats, all_nats = batch.targets_BT.tolist(), [], []
    for row, place in torch.nonzero(batch.weights_BT).tolist():
        assert batch.inputs_BT[row, place] == MASK
        logits_V = model.logits(batch.inputs_BT[row : row + 1], visibility=Full())[0, place]
        below, draw = 0.0, float(batch.extra["draws_BT"][row, place])
        hidden_nats.append(-float(logits_V.log_softmax(0)[batch.targets_BT[row, place]]))
        for token, probability in enumerate(logits_V.softmax(0).tolist()):
            below += probability
            if draw < below:
                proposed[row][place] = token
                break
    for row, tokens in enumerate(proposed):
        hidden_TC = model.body(torch.tensor([tokens]), visibility=Full()).hidden_BTC[0]
        for place, token in enumerate(tokens):
            logits_2 = model.heads["replaced_token"](hidden_TC[place])
            all_nats.append(-float(logits_2.log_softmax(0)[int(token != batch.targets_BT[row, place])]))
    return proposed, float(np.mean(hidden_nats)), float(np.mean(all_nats))


@pytest.mark.parametrize("chunk", [None, 5])
def test_it_proposes_and_judges_as_a_loop_does(transformer, chunk):
    model, method = build(transformer), detection(rate=0.4, logits_chunk=chunk)
    batch = method.prepare(sequences(ELECTRA, rows=3), keyed)
    proposed, generator, discriminator = by_hand(model, batch)
    assert method.propose(model, batch)[2].tolist() == proposed
    assert proposed != batch.targets_BT.tolist()
    losses, counts = method.losses(model, batch), method.counts(batch)
    found = {name: float(losses[name].detach()) / counts[name] for name in counts}
    expected = {"generator": generator, "replaced_token": 50 * discriminator, "discriminator": discriminator}
    assert found == pytest.approx(expected, rel=1e-9)
    assert method.told == ("discriminator",)


def test_chunks_have_the_gradients_of_the_whole(transformer):
    model, found = build(transformer), []
    for chunk in (None, 5):
        method = detection(rate=0.4, logits_chunk=chunk)
        batch = method.prepare(sequences(ELECTRA, rows=3), keyed)
        losses = method.losses(model, batch)
        found.append(torch.autograd.grad(losses["generator"] + losses["replaced_token"], list(model.parameters())))
    torch.testing.assert_close(found[0], found[1])
    assert all(gradient.abs().sum() > 0 for gradient in found[0])


@torch.no_grad()
def test_proposals_are_as_frequent_as_they_are_likely(transformer):
    """Of one hidden token, drawn under many places' generators: within five deviations of a binomial."""
    model, method = build(transformer), detection()
    rows, n = sequences(ELECTRA, rows=1).rows(np.zeros(4000, int)), 4000
    rows.places_B = np.arange(n)
    batch = method.prepare(rows, keyed)
    batch.inputs_BT = batch.targets_BT.clone()
    batch.inputs_BT[:, 7] = MASK
    batch.weights_BT = (batch.inputs_BT == MASK).float()
    proposed_N = method.propose(model, batch)[2][:, 7]
    p_V = model.logits(batch.inputs_BT[:1], visibility=Full())[0, 7].softmax(0)
    hits_V = torch.bincount(proposed_N, minlength=len(p_V))
    assert ((hits_V - n * p_V).abs() <= 5 * (n * p_V * (1 - p_V)).sqrt() + 1).all()


def test_flops_are_two_passes_of_the_body_and_one_of_each_head(transformer, tmp_path):
    """Forward, by PyTorch's counter; attention is written out, whose products it counts on every device."""
    words = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic", "budget.tokens=null", "budget.steps=1"]
    words += ["objective=electra", "architecture/head=replaced_token", f"runs={tmp_path}", "suite=null"]
    plan = resolve(run_config(words))
    model = build_on_meta(plan.config.architecture, plan.vocabulary)
    length = plan.config.data.sequence_length
    inputs_BT = torch.zeros(2, length, dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as counter:
        for name in ("language_model", "replaced_token"):
            model.heads[name](model.body(inputs_BT, visibility=Causal()).hidden_BTC)
    assert plan.training_flops * 2 * length == pytest.approx(3 * counter.get_total_flops(), rel=1e-12)


class TestElectra(ObjectiveKit):
    config = plugin_config("objective", {"name": "electra", "rate": 0.3}, "objective")
    test_it_trains_what_it_is_scored_by = None  # the discriminator learns of texts that a generator wrote

    @torch.no_grad()
    def test_the_scorer_agrees_with_the_loss(self):
        """It is scored by what the discriminator says of a text: where nothing is hidden, and so nothing replaced, that
        is its loss."""
        pairing = Pairing(self.config, self.architecture(), across=True)
        rows = sequences(self.config, rows=1)
        batch = pairing.method.prepare(rows, keyed)
        batch.weights_BT.zero_()
        text = rows.tokens_BS[0, :-1].tolist()
        ((score, _),) = scorer(pairing)._loglikelihood_tokens([(None, [Letters.end], text)])
        assert score == pytest.approx(-float(pairing.losses(batch)["discriminator"]), rel=1e-5)

    def architecture(self):
        return in_transformer(position="none", head="replaced_token")

    def share(self):
        return 0.3

    def recovered(self, batch, row):
        return batch.inputs_BT[row].where(batch.weights_BT[row] == 0, batch.targets_BT[row]).tolist()

    @torch.no_grad()
    def reference(self, model, batch, seen):
        """The arguments of both passes, place by place."""
        (masked, options), (proposed, _) = seen
        logp_BTV = model.heads["language_model"](model.body(*masked, **options).hidden_BTC).double().log_softmax(-1)
        nats = [-float(logp_BTV[r, t, batch.targets_BT[r, t]]) for r, t in torch.nonzero(batch.weights_BT).tolist()]
        logp_BT2 = model.heads["replaced_token"](model.body(*proposed, **options).hidden_BTC).double().log_softmax(-1)
        is_replaced_BT = (proposed[0] != batch.targets_BT).long()
        told = -float(logp_BT2.gather(-1, is_replaced_BT[..., None]).mean())
        return {"generator": float(np.mean(nats)), "replaced_token": 50 * told, "discriminator": told}


class TestItsHead(HeadKit):
    config = plugin_config("head", "replaced_token", "head")

    test_flops_are_as_declared = None  # they are of both heads, as in training: counted above


@torch.no_grad()
def test_a_score_is_what_the_discriminator_says_of_the_continuation(transformer):
    model, tokenizer = build(transformer), registry().get("tokenizer", "bytes")().train([])
    model = transformer(head="replaced_token", init_std=0.5).build(258).double().eval()
    kind = registry().get("likelihood", "replaced_token")(name="replaced_token")
    assert not kind.proper
    asked = LanguageModel(model, Encoder(tokenizer), 24, 4, likelihood=kind, extra={"[MASK]": 257})
    questions = [(None, list(b"one two"), list(b" three")), (None, list(b"long " * 6), list(b" end"))]
    for (_, context, continuation), (found, _) in zip(questions, asked._loglikelihood_tokens(questions), strict=True):
        shown = torch.tensor([[*context, *continuation][-24:]])
        hidden_TC = model.body(shown, visibility=Full()).hidden_BTC[0]
        logp_T2 = model.heads["replaced_token"](hidden_TC).log_softmax(-1)
        assert found == pytest.approx(float(logp_T2[-len(continuation) :, 0].sum()), rel=1e-5)
    assert len(kind.build(Asked(tokenizer=tokenizer, length=24)).rows([1] * 30, [2] * 3)[0].inputs) == 24


def test_a_body_that_sees_one_way_and_a_head_of_another_kind_are_refused(tmp_path):
    words = ["experiment=tiny", "budget.tokens=null", "budget.steps=1", "tokenizer=bytes", "corpus=synthetic"]
    words += ["objective=electra", f"runs={tmp_path}", "suite=null"]
    with pytest.raises(ConfigError, match="say architecture/head=replaced_token"):
        resolve(run_config(words))
    with pytest.raises(ConfigError, match="asks for Full visibility"):
        one_way = ["architecture=rwkv", "architecture.width=32", "architecture.layers=1"]
        resolve(run_config([*words[1:], *one_way, "architecture/head=replaced_token"]))


@pytest.mark.slow
def test_a_run_trains_and_is_scored(tmp_path: Path):
    words = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic", "budget.tokens=null", "budget.steps=5"]
    words += [
        "objective=electra",
        "architecture/head=replaced_token",
        "architecture.head.tied=true",
        f"runs={tmp_path}",
    ]
    assert main(["train", *words, "data.sequence_length=32", "data.batch_size=4", "suite.limit=2"]) == 0
    (made,) = tmp_path.glob("*/manifest.json")
    run = RunDir(made.parent)
    assert {row["likelihood"] for row in run.scores()} == {"replaced_token"}
    assert 0 < run.manifest()["result"]["held_out_measures"]["discriminator"]["value"] < 1
