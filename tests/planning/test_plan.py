"""From a config to the run that it is and what that costs, before anything starts."""

import math

import numpy as np
import pytest

from harness.composition import run_config
from harness.config import ConfigError
from harness.planning.cost import cost, description
from harness.planning.plan import resolve
from harness.studies.expansion import expand
from harness.studies.sweep_file import load_sweep

SMALL = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic"]


def plan(*overrides):
    return resolve(run_config([*SMALL, *overrides]))


def test_a_budget_is_rounded_up_to_whole_steps():
    found = plan("budget.tokens=1000", "data.batch_size=4", "data.sequence_length=64")
    assert (found.steps, found.tokens) == (4, 4 * 256)
    assert plan("budget.tokens=1024", "data.batch_size=4", "data.sequence_length=64").steps == 4
    assert plan("budget.tokens=1").steps == 1


def test_a_budget_by_parameters_counts_all_of_them():
    found = plan("budget.tokens=null", "budget.tokens_per_parameter=20")
    step = 8 * 128
    assert found.steps == math.ceil(20 * found.account.total / step)
    assert found.account.total > found.account.non_embedding


def test_a_budget_in_steps_is_taken_as_it_is():
    found = plan("budget.tokens=null", "budget.steps=7")
    assert (found.steps, found.tokens) == (7, 7 * 8 * 128)
    assert found.id == plan(f"budget.tokens={7 * 8 * 128}").id


@pytest.mark.parametrize("epochs", [0.5, 1, 2.3])
@pytest.mark.parametrize("corpus", [[], ["corpus=stdlib_and_problems"]], ids=["one source", "a mix"])
def test_a_budget_in_epochs_ends_when_the_last_source_has_been_gone_through_so_often(epochs, corpus):
    found = plan(*corpus, "budget.tokens=null", f"budget.epochs={epochs}")
    stream, rows = found.dataset().stream(5), found.config.data.batch_size
    source, epoch, _ = stream.locate(np.arange(found.steps * rows))

    def gone_through(places):
        return min(np.sum(source[:places] == number) / size for number, size in enumerate(stream.sizes))

    assert gone_through(found.steps * rows) >= epochs
    assert gone_through((found.steps - 1) * rows) < epochs
    assert epoch.max() >= math.ceil(epochs) - 1


@pytest.mark.parametrize("other", ["budget.steps=5", "budget.epochs=1", "budget.flops=1e9"])
def test_a_budget_that_is_said_twice_is_refused(other):
    name = other.split("=")[0]
    with pytest.raises(ConfigError, match=rf"are both set.*Say .*{name}=null"):
        plan("budget.tokens=1000", other)


def test_both_conventions_of_compute_stand_side_by_side():
    found = plan()
    assert found.flops_6nd == 6 * found.account.non_embedding * found.tokens
    assert found.flops == 3 * found.account.forward_flops * found.tokens
    assert found.hours(1e9) == pytest.approx(found.flops / 1e9 / 3600)


@pytest.mark.parametrize(
    "same",
    [
        "trainer.micro_batch=4",
        "trainer.threads=2",
        "data.workers=2",
        "launcher.workers=3",
        "runs=elsewhere",
        "suite=null",
    ],
)
def test_what_changes_no_result_changes_no_id(same):
    assert plan(same).id == plan().id


@pytest.mark.parametrize(
    "other",
    [
        "seed=1",
        "trainer.precision=bf16",
        "data.batch_size=4",
        "corpus.seed=1",
        "tokenizer=characters",
        "data.held_out=0.1",
    ],
)
def test_what_changes_the_result_changes_the_id(other):
    assert plan(other).id != plan().id


def test_two_ways_to_say_one_budget_are_one_run():
    assert plan("budget.tokens=100000").id == plan("budget.tokens=99999").id


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["architecture.vocabulary=100"], "smaller than the tokenizer's"),
        (["architecture/position=learned", "architecture.position.length=64"], "longer than architecture=transformer"),
        (["trainer.micro_batch=3"], "does not divide data.batch_size=8"),
        (["optimizer.frozen=[body.token.*]"], r"optimizer\.frozen: no parameter is named body\.token\.\*"),
        (["+optimizer.rates={tail: 0.1}"], r"optimizer\.rates: no parameter is named tail"),
        (["optimizer.frozen=['*']"], "leaves nothing to train"),
    ],
)
def test_what_does_not_fit_together_is_a_sentence_before_anything_starts(overrides, said):
    with pytest.raises(ConfigError, match=said):
        plan(*overrides)


def test_unique_tokens_are_those_that_are_seen(tmp_path):
    (tmp_path / "text.txt").write_text(
        "a text of fifty bytes, give or take one or two. " * 50
    )  # 2,400 bytes and an end
    common = [
        "corpus=text",
        f"corpus.path={tmp_path}",
        "data.held_out=0",
        "data.batch_size=1",
        "data.sequence_length=64",
    ]
    few, many = (cost(plan(*common, f"budget.tokens={tokens}"), 1e9) for tokens in (640, 6400))
    assert (few["tokens"], few["unique_tokens"]) == (640, 640)
    assert (many["tokens"], many["unique_tokens"]) == (6400, 2401 // 64 * 64)
    assert many["epochs"] == pytest.approx(6400 / many["unique_tokens"])


def test_a_description_adds_up():
    found = description(run_config(["architecture=llama2_7b", "tokenizer=bytes", "corpus=synthetic"]))
    assert found["parameters"] == sum(part["parameters"] for part in found["parts"]) == 6_738_415_616
    parts = ("weights", "gradients", "optimizer", "copies", "activations")
    assert found["training_bytes"] <= sum(found[f"training_bytes_of_{part}"] for part in parts)  # not all at one moment
    assert found["training_bytes_of_optimizer"] == 2 * 4 * found["parameters"]


@pytest.mark.parametrize("overrides", [[], ["data.batch_size=3"], ["architecture.width=64", "data.sequence_length=64"]])
@pytest.mark.parametrize("steps", [1, 7, 10**9 + 7])
def test_a_budget_in_flops_is_rounded_up_to_whole_steps(overrides, steps):
    by_tokens = plan(*overrides, "budget.tokens=1")
    one_step = by_tokens.account.training_flops * by_tokens.tokens
    for flops, expected in ((steps * one_step, steps), (steps * one_step * (1 + 1e-10), steps + 1)):
        found = plan(*overrides, "budget.tokens=null", f"budget.flops={float(flops)!r}")
        assert found.steps == expected
        assert found.flops == expected * one_step


def test_tokens_and_flops_together_are_refused_so_that_none_is_passed_over_in_silence():
    with pytest.raises(ConfigError, match=r"budget.tokens=1000 and budget.flops=1e\+18 are both set"):
        plan("budget.tokens=1000", "budget.flops=1e18")


def test_flops_win_over_tokens_per_parameter():
    by_flops = plan("budget.tokens=null", "budget.flops=1e12", "budget.tokens_per_parameter=1")
    assert by_flops.id == plan("budget.tokens=null", "budget.flops=1e12").id
    assert 1e12 <= by_flops.flops < 1.01e12


def test_runs_of_one_isoflop_curve_differ_in_size_and_tokens_and_cost_the_same(tmp_path):
    (tmp_path / "iso.yaml").write_text(
        "base: [scale=ladder, tokenizer=bytes, corpus=synthetic, budget.tokens=null]\n"
        "axes: {budget.flops: [1.0e+12, 4.0e+12], scale.width: [16, 32, 48]}\n"
    )
    plans = [resolve(config) for config in expand(load_sweep(str(tmp_path / "iso.yaml")))]
    for budget, curve in ((1e12, plans[:3]), (4e12, plans[3:])):
        assert all(budget <= p.flops < budget + p.flops / p.steps for p in curve)
        sizes, tokens = [p.account.non_embedding for p in curve], [p.tokens for p in curve]
        assert sizes == sorted(set(sizes))
        assert tokens == sorted(set(tokens), reverse=True)


def test_a_budget_that_nobody_trains_is_refused():
    with pytest.raises(ConfigError, match=r"The budget is .* tokens of this model: at most 1e\+15"):
        plan("budget.tokens=null", "budget.flops=1e30")
