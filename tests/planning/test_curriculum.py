"""Tokens, FLOPs and steps of a run with a curriculum, and the runs that can have none."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.composition import run_config
from harness.config import ConfigError
from harness.data.curriculum import places, stage_of, stages
from harness.planning.cost import cost
from harness.planning.plan import Plan, resolve

SMALL = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic", "budget.tokens=null", "suite=null"]
SMALL += ["data.sequence_length=32", "data.batch_size=8"]
EASY, MIXED = (
    "data.curriculum.easiest=[[0.3,0.4],[0.6,0.7]]",
    "data.curriculum.sources=[[0.4,{one:1}],[0.7,{one:1,two:3}]]",
)
TWO = [
    "corpus=mix",
    "+corpus.sources={one: {name: synthetic, weight: 1}, two: {name: synthetic, weight: 1, documents: 60}}",
]
SHORT, GROWING = "data.curriculum.sequence_length=[[0.25,8],[0.6,16]]", "data.curriculum.batch_size=[[0.3,2],[0.7,4]]"


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    def plan(*overrides: str) -> Plan:
        return resolve(run_config([*SMALL, f"runs={tmp_path}", *overrides]))

    return plan


@pytest.mark.parametrize("curriculum", [[SHORT], [GROWING], [SHORT, GROWING]])
def test_tokens_and_flops_are_the_sums_over_its_steps(plan: Any, curriculum: list[str]):
    """A token costs what it costs in a run that is shown sequences of that length throughout."""
    found = plan("budget.steps=21", *curriculum)
    tokens = flops = 0.0
    of_a_token = {n: plan("budget.steps=1", f"data.sequence_length={n}").training_flops for n in (8, 16, 32)}
    for step in range(21):
        stage = stage_of(stages(found.config.data, 21), step)
        own = 32 * stage.batch_size
        tokens += own
        flops += own * of_a_token[stage.sequence_length]
    assert found.tokens == found.own_tokens == tokens
    assert found.flops == pytest.approx(flops, rel=1e-12)
    assert cost(found, 1e9)["flops"] == found.flops
    assert found.flops < plan("budget.steps=21").flops


@pytest.mark.parametrize("curriculum", [[], [SHORT], [GROWING], [SHORT, GROWING], [EASY]])
@pytest.mark.parametrize("budget", ["budget.tokens=7001", "budget.epochs=0.3", "budget.flops=1e9"])
def test_a_budget_is_rounded_up_to_whole_steps(plan: Any, budget: str, curriculum: list[str]):
    found = plan(budget, *curriculum)
    amount = float(budget.split("=")[1])
    epochs = math.nan if "epochs" not in budget else max(found.dataset().epochs(found.tokens).values())
    spent = {"tokens": found.tokens, "flops": found.flops, "epochs": epochs}[budget[7:].split("=")[0]]
    assert amount * (1 - 1e-9) <= spent < amount + spent / found.steps * 4


@pytest.mark.parametrize("curriculum", [[MIXED], [MIXED, GROWING, EASY]])
def test_a_budget_in_epochs_ends_when_the_last_source_has_been_gone_through_so_often(plan: Any, curriculum: list[str]):
    """Whatever each stage draws; one step less would not do."""
    found = plan("budget.epochs=1.5", *TWO, *curriculum)

    def least(steps: int) -> float:
        of = stages(found.config.data, steps)
        source, _, _ = found.dataset().stream(3, of).locate(np.arange(places(of, steps)))
        return min(np.bincount(source, minlength=2) / found.dataset().stream(3).sizes)

    assert least(found.steps) >= 1.5 > least(found.steps - 1)


def test_unique_tokens_are_those_that_the_stages_show(plan: Any):
    """Against the run's own stream, with each of its sequences counted once."""
    found = plan("budget.tokens=60000", *TWO, MIXED, EASY)
    stream = found.dataset().stream(3, stages(found.config.data, found.steps))
    source, _, sequence = stream.locate(np.arange(found.steps * 8))
    shown = len(set(zip(source.tolist(), sequence.tolist(), strict=True)))
    costs = cost(found, 1e9)
    assert costs["unique_tokens"] == shown * 32
    assert costs["epochs"] == pytest.approx(max(np.bincount(source) / stream.sizes))
    assert cost(plan("budget.tokens=60000", *TWO), 1e9)["unique_tokens"] != shown * 32


def test_without_a_curriculum_the_id_is_as_it_was(plan: Any):
    plain = plan("budget.steps=10")
    assert plan("budget.steps=10", "data.curriculum.batch_size=[]").id == plain.id
    assert len({plain.id, plan("budget.steps=10", SHORT).id, plan("budget.steps=10", GROWING).id}) == 3
    assert "curriculum" not in plain.identity["config"]["data"]


def test_what_has_no_stages_is_refused(plan: Any):
    with pytest.raises(ConfigError, match="one that may end early"):
        plan("budget.steps=10", SHORT, "watch.patience=2", "watch.validate_every=2")
    with pytest.raises(ConfigError, match="cuts rows into pieces, and objective=sft reads whole examples"):
        plan("budget.steps=10", SHORT, "objective=sft", "corpus=python_tasks")
    with pytest.raises(ConfigError, match="sources has tow, which is none of the corpus. Did you mean two"):
        plan("budget.steps=10", *TWO, "data.curriculum.sources=[[0.4,{tow:1}]]")
    with pytest.raises(ConfigError, match="has 3, which 2 devices cannot share"):
        plan("budget.steps=10", "data.curriculum.batch_size=[[0.5,3]]", "trainer.devices=2")
