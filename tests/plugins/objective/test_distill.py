"""Distillation: against a loop over places in float64, at its limits, and as a user chooses it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.cli import main
from harness.composition import run_config
from harness.config import ConfigError, plugin_config
from harness.interfaces.batch import Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Causal
from harness.planning.cost import cost
from harness.planning.plan import resolve
from harness.rundir import RunDir
from harness.testing import ObjectiveKit
from harness.testing.models import stirred
from harness.testing.objective import Letters, setting
from harness.testing.parts import in_transformer
from harness.training.train import load_model
from harness_plugins.objective.distill import DistillConfig

TOKENS, ROWS, LENGTH = 20, 3, 9
RNG = np.random.default_rng(0)
TOKENS_BS = RNG.integers(0, TOKENS, (ROWS, LENGTH + 1))
SEQUENCES = Sequences(TOKENS_BS, np.zeros_like(TOKENS_BS), np.arange(ROWS))


class Twenty:
    size = TOKENS


def distilled(teacher, **values):
    """The method, float64."""
    config = DistillConfig(name="distill", **values)
    return config.build(Setting(tokenizer=Twenty(), frozen=lambda role: {"teacher": teacher}[role]))


def build(transformer, seed=0, vocabulary=TOKENS, **changes):
    torch.manual_seed(seed)
    return transformer(init_std=0.5, **changes).build(vocabulary).double()


def prepare(method):
    return method.prepare(SEQUENCES, lambda place: None)


@torch.no_grad()
def by_hand(student, teacher, batch, temperature, weight):
    """Means over places of the loss, the text's nats and T² KL, each token's probability written out."""
    found = []
    for row in range(ROWS):
        for place in range(LENGTH):
            shown = batch.inputs_BT[row : row + 1, : place + 1]
            own_V, aim_V = (
                m.heads["language_model"](m.body(shown, visibility=Causal()).hidden_BTC)[0, -1]
                for m in (student, teacher)
            )
            p = [math.exp(z / temperature) for z in aim_V[:TOKENS].tolist()]
            q = [math.exp(z / temperature) for z in own_V[:TOKENS].tolist()]
            p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
            divergence = temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
            odds = [math.exp(z) for z in own_V.tolist()]
            nats = -math.log(odds[TOKENS_BS[row, place + 1]] / sum(odds))
            found.append((weight * divergence + (1 - weight) * nats, nats, divergence))
    return [float(mean) for mean in np.mean(found, axis=0)]


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 0.5), (3.0, 0.9), (0.5, 0.0), (2.0, 1.0)])
def test_it_is_the_text_and_the_divergence_from_the_teacher(transformer, chunk, temperature, weight):
    """Of tables with more rows than there are tokens, and of another number in the teacher's."""
    student, teacher = build(transformer, vocabulary=TOKENS + 3), build(transformer, 1, TOKENS + 5, layers=1)
    method = distilled(teacher, temperature=temperature, weight=weight, logits_chunk=chunk)
    batch = prepare(method)
    losses, counts = method.losses(student, batch), method.counts(batch)
    means = [float(losses[name].detach()) / counts[name] for name in ("distill", "clm", "divergence")]
    assert means == pytest.approx(by_hand(student, teacher, batch, temperature, weight), rel=1e-9)
    assert method.told == ("clm", "divergence")


def test_chunks_have_the_gradients_of_the_whole(transformer):
    student, teacher = build(transformer), build(transformer, 1)
    parameters, found = list(student.parameters()), []
    for chunk in (None, 4):
        method = distilled(teacher, logits_chunk=chunk)
        loss = method.losses(student, prepare(method))["distill"]
        found.append(torch.autograd.grad(3 * loss, parameters))
    torch.testing.assert_close(found[0], found[1])
    assert all(gradient.abs().sum() > 0 for gradient in found[0])


def test_who_says_what_the_teacher_says_learns_nothing_from_it(transformer):
    student, teacher = build(transformer), build(transformer)
    method = distilled(teacher, weight=1.0)
    losses = method.losses(student, prepare(method))
    assert float(losses["divergence"]) == pytest.approx(0.0, abs=1e-12)
    losses["distill"].backward()
    assert all(parameter.grad.abs().max() < 1e-10 for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())


@torch.no_grad()
def test_at_a_high_temperature_logits_are_matched(transformer):
    """T² KL goes to half the variance of the differences between logits (Hinton et al. 2015, equation 4, integrated)."""
    student, teacher = build(transformer), build(transformer, 1)
    method = distilled(teacher, temperature=100.0)
    batch = prepare(method)
    own_BTV, aim_BTV = (
        m.heads["language_model"](m.body(batch.inputs_BT, visibility=Causal()).hidden_BTC) for m in (student, teacher)
    )
    expected = float((own_BTV - aim_BTV).var(-1, unbiased=False).sum() / 2)
    assert float(method.losses(student, batch)["divergence"]) == pytest.approx(expected, rel=0.05)


def test_at_temperature_one_it_is_the_cross_entropy_with_soft_targets(transformer):
    """But for the teacher's entropy, which has no gradient."""
    student, teacher = build(transformer), build(transformer, 1)
    method = distilled(teacher, temperature=1.0, weight=1.0)
    batch = prepare(method)
    with torch.no_grad():
        p_BTV = teacher.heads["language_model"](teacher.body(batch.inputs_BT, visibility=Causal()).hidden_BTC)
    logits_BTV = student.heads["language_model"](student.body(batch.inputs_BT, visibility=Causal()).hidden_BTC)
    expected = -(p_BTV.softmax(-1) * logits_BTV.log_softmax(-1)).sum()
    found = method.losses(student, batch)["distill"]
    parameters = list(student.parameters())
    torch.testing.assert_close(torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters))


class TestDistill(ObjectiveKit):
    config = plugin_config("objective", "distill", "objective")

    def recovered(self, batch, row):
        return [*batch.inputs_BT[row].tolist(), int(batch.targets_BT[row, -1])]

    def method(self, across=True):
        own = setting(self.config, self.tokenizer(), across)
        teacher = stirred(in_transformer(position="none"), vocabulary=Letters.size)
        with torch.no_grad():
            for parameter in teacher.parameters():
                parameter.mul_(0.5)
        return self.config.build(
            Setting(tokenizer=own.tokenizer, attend_across_documents=across, frozen=lambda role: teacher)
        )

    @torch.no_grad()
    def reference(self, model, batch, seen):
        """Both models asked as the body was; every place in float64."""
        teacher, (arguments, options) = self.method().teacher, seen[-1]
        own_BTV, aim_BTV = (
            m.heads["language_model"](m.body(*arguments, **options).hidden_BTC).double() for m in (model, teacher)
        )
        clm = float(-own_BTV.log_softmax(-1).gather(2, batch.targets_BT[..., None]).mean())
        p_BTV, q_BTV = (aim_BTV / 2).softmax(-1), (own_BTV / 2).softmax(-1)
        divergence = 4 * float((p_BTV * (p_BTV / q_BTV).log()).sum(-1).mean())
        return {"distill": (clm + divergence) / 2, "clm": clm, "divergence": divergence}


# ------------------------------------------------------------------------------------------- runs

SMALL = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic", "budget.tokens=null", "budget.steps=4"]
SMALL += ["data.sequence_length=32", "data.batch_size=4"]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, RunDir]:
    """A teacher, and a student of one layer, scored by its suite."""
    folder = tmp_path_factory.mktemp("taught")
    words = [*SMALL, f"runs={folder}"]
    assert main(["train", *words, "suite=null"]) == 0
    (teacher,) = folder.glob("*/manifest.json")
    student = ["objective=distill", "architecture.layers=1", f"parents.teacher='{teacher.parent.name}'"]
    assert main(["train", *words, *student, "suite.limit=2"]) == 0
    (made,) = set(folder.glob("*/manifest.json")) - {teacher}
    return RunDir(teacher.parent), RunDir(made.parent)


def planned(of: RunDir, *words: str):
    return resolve(run_config([*SMALL, f"runs={of.path.parent}", "suite=null", *words]))


@pytest.mark.slow
def test_a_student_trains_and_is_scored_and_its_teacher_stays_as_it_is(taught):
    teacher, student = taught
    result = student.manifest()["result"]
    told = {name: measure["value"] for name, measure in result["held_out_measures"].items()}
    assert result["held_out_loss"] == pytest.approx((told["clm"] + told["divergence"]) / 2)
    assert student.manifest()["identity"]["parents"] == {"teacher": f"{teacher.id}@4"}
    assert {"clm", "divergence"} <= set(student.metrics()[-1])
    assert student.scores()
    model, _, _ = load_model(student)
    assert not [name for name in model.state_dict() if "teacher" in name]


@pytest.mark.slow
def test_the_teachers_forward_pass_is_counted_at_its_own_size(taught):
    teacher, _ = taught
    plain = planned(teacher, "architecture.layers=1")
    plan = planned(teacher, "architecture.layers=1", "objective=distill", f"parents.teacher='{teacher.id}'")
    assert plan.training_flops == plain.training_flops + planned(teacher).account.forward_flops
    assert plan.tokens == plain.tokens
    weights = 4 * planned(teacher).account.total
    assert cost(plan, 1e9)["memory_bytes"] == cost(plain, 1e9)["memory_bytes"] + weights


@pytest.mark.slow
def test_who_cannot_teach_is_refused(taught):
    teacher, student = taught
    with pytest.raises(ConfigError, match=r"learns from a teacher and has none: give parents\.teacher=<run>"):
        planned(teacher, "objective=distill", f"parents.init='{teacher.id}'")
    with pytest.raises(ConfigError, match="both must have one tokenizer"):
        other = ["tokenizer=bpe", "tokenizer.size=300", "data.retrain_tokenizer=true"]
        planned(teacher, "objective=distill", *other, f"parents.teacher='{teacher.id}'")
    with pytest.raises(ConfigError, match="clm leans on no teacher"):
        planned(teacher, f"parents.teacher='{student.id}'")
    assert main(["train", *SMALL, f"runs={teacher.path.parent}", "objective=mlm", "suite=null"]) == 0
    masked = [path.parent.name for path in Path(teacher.path.parent).glob("*/manifest.json")]
    (masked_id,) = set(masked) - {teacher.id, student.id}
    with pytest.raises(ConfigError, match="mlm has not trained it for that: its likelihood is masked, and not causal"):
        planned(teacher, "objective=distill", f"parents.teacher='{masked_id}'")


@pytest.mark.slow
def test_a_padded_table_of_the_same_tokenizer_teaches(taught):
    teacher, _ = taught
    before = set(teacher.path.parent.glob("*/manifest.json"))
    padded = ["architecture.vocabulary=264", "suite=null", f"runs={teacher.path.parent}"]
    assert main(["train", *SMALL, *padded]) == 0
    (made,) = set(teacher.path.parent.glob("*/manifest.json")) - before
    words = ["objective=distill", "suite=null", f"runs={teacher.path.parent}"]
    assert main(["train", *SMALL, *words, f"parents.teacher='{made.parent.name}'"]) == 0
