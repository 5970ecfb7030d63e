"""Tokens, FLOPs and steps of a run with a curriculum, and the runs that can have none."""

import math
from pathlib import Path
from typing import Any

import pytest

from harness.composition import run_config
from harness.config import ConfigError
from harness.data.curriculum import stage_of, stages
from harness.planning.cost import cost
from harness.planning.plan import Plan, resolve

SMALL = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic", "budget.tokens=null", "suite=null"]
SMALL += ["data.sequence_length=32", "data.batch_size=8"]
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


@pytest.mark.parametrize("curriculum", [[], [SHORT], [GROWING], [SHORT, GROWING]])
@pytest.mark.parametrize("budget", ["budget.tokens=7001", "budget.epochs=0.3", "budget.flops=1e9"])
def test_a_budget_is_rounded_up_to_whole_steps(plan: Any, budget: str, curriculum: list[str]):
    found = plan(budget, *curriculum)
    amount = float(budget.split("=")[1])
    epochs = math.nan if "epochs" not in budget else max(found.dataset().epochs(found.tokens).values())
    spent = {"tokens": found.tokens, "flops": found.flops, "epochs": epochs}[budget[7:].split("=")[0]]
    assert amount * (1 - 1e-9) <= spent < amount + spent / found.steps * 4


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
    with pytest.raises(ConfigError, match="has 3, which 2 devices cannot share"):
        plan("budget.steps=10", "data.curriculum.batch_size=[[0.5,3]]", "trainer.devices=2")
