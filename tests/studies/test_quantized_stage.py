"""A stage of a sweep that quantizes what the stage before it trains."""

from pathlib import Path

import pytest

from harness.rundir import RunDir
from harness.studies.stages import plans_of
from harness.studies.study import points_of
from harness.studies.sweep_file import load_sweep

SWEEP = """
base: [experiment=tiny, tokenizer=bytes, corpus=synthetic, suite=null]
axes: {architecture.width: [32, 48], seed: [0, 1]}
stages:
  train: {}
  int8:
    parents: {init: train}
    base: [objective=null, quantizer=int8]
    axes: {quantizer.activations: [none, dynamic]}
"""


@pytest.fixture
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    monkeypatch.chdir(tmp_path)
    Path("chain.yaml").write_text(SWEEP)
    return plans_of(load_sweep("chain.yaml"))


def test_each_run_of_the_stage_before_is_quantized_in_each_way(plans: list):
    parents, quantized = plans[:4], plans[4:]
    assert len({plan.id for plan in plans}) == len(plans) == 4 + 8
    for number, plan in enumerate(quantized):
        parent = parents[number % 4]
        assert plan.identity["parents"] == {"init": f"{parent.id}@{parent.steps}"}
        assert plan.config.architecture == parent.config.architecture
        assert plan.config.quantizer.activations == ("none", "dynamic")[number // 4]


def test_a_quantized_run_is_no_point_of_a_law(plans: list):
    """It has seen no tokens of its own, and no loss of its own is asked."""
    run = RunDir(Path(plans[-1].config.runs) / plans[-1].id)
    result = {"held_out_loss": None, "steps": 0}
    run.update_manifest(state="finished", identity=plans[-1].identity, result=result)
    assert points_of([run]) == []
