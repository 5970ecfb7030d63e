"""One run is carried out once, whoever asks for it, how often and when."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.composition import run_config
from harness.errors import RunFailed, UserError
from harness.launch import ranks
from harness.launch.run import carry_out
from harness.planning import plan as planning
from harness.planning.plan import Plan, resolve
from harness.planning.reuse import decide
from harness.studies.study import points_of

SMALL = [
    "corpus=text", "tokenizer=bytes", "suite=null", "experiment=tiny", "architecture.width=16", "data.held_out=0.2",
    "data.sequence_length=16", "data.batch_size=4", "budget.tokens=1280", "trainer.accelerator=cpu",
]  # fmt: skip


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"the {number} times table: {number * number} " * 20)
    return folder


@pytest.fixture
def plan(text: Path, tmp_path: Path) -> Plan:
    planning._fingerprints.clear()
    planning._datasets.clear()
    return resolve(run_config([*SMALL, f"corpus.path={text}", f"runs={tmp_path / 'runs'}"]))


def forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0 if sys.exception() is None else 1)
    return child


def test_asked_for_twice_at_once_it_is_trained_once(plan: Plan, tmp_path: Path) -> None:
    import harness.training.fit  # noqa: F401 - before the forks

    def work() -> None:
        (tmp_path / f"{os.getpid()}").write_text(carry_out(plan, quiet=True).action)

    children = [forked(work), forked(work)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert sorted((tmp_path / str(child)).read_text() for child in children) == ["reuse", "train"]
    run = decide(plan).run
    assert [row["step"] for row in run.metrics()] == [10, 20]


def test_what_is_finished_is_reused_without_the_heavy_imports(plan: Plan, text: Path) -> None:
    carry_out(plan, quiet=True)
    words = [*SMALL, f"corpus.path={text}", f"runs={plan.config.runs}"]
    script = f"""
import sys
from harness.cli import main
assert main(["train", *{words!r}]) == 0
assert not {{"torch", "lightning"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"run {plan.id} reused" in done.stdout


def test_an_interrupted_run_keeps_the_fingerprint_and_the_code_it_was_begun_under(plan: Plan) -> None:
    run = carry_out(plan, quiet=True).run
    code = run.manifest()["code"]
    run.update_manifest(
        state="interrupted", code={**code, "digests": {**code["digests"], "harness": "other"}, "digest": "other"}
    )
    trainer = replace(plan.config.trainer, threads=2)
    again = replace(plan, config=replace(plan.config, trainer=trainer, reuse="any"))
    assert carry_out(again, quiet=True).action == "resume"
    assert run.manifest()["fingerprint"]["threads"] == "1, then 2"
    mixed = {**code["digests"], "harness": f"other, then {code['digests']['harness']}"}
    assert run.manifest()["code"] == {**code, "digest": f"other, then {code['digest']}", "digests": mixed}


def test_the_budget_of_a_run_that_ends_early_is_what_it_came_to(text: Path, tmp_path: Path) -> None:
    """Laws take N, D and FLOPs from there. Nothing is learnt, so nothing gets better, and 15 of 20 steps are done."""
    early = ["optimizer.lr=0", "watch.patience=2", "watch.validate_every=5"]
    plan = resolve(run_config([*SMALL, *early, f"corpus.path={text}", f"runs={tmp_path / 'runs'}"]))
    run = carry_out(plan, quiet=True).run
    budget = run.manifest()["budget"]
    assert (budget["steps"], budget["tokens"], budget["own_steps"]) == (15, 15 * 4 * 16, 15)
    assert budget["flops_6nd"] == pytest.approx(plan.flops_6nd * 15 / 20)
    assert [(point.D, point.C) for point in points_of([run])] == [(budget["tokens"], budget["flops_6nd"])]
    assert run.manifest()["identity"]["steps"] == 20, "what was asked for"
    assert carry_out(plan, quiet=True).action == "reuse"


@pytest.mark.parametrize(("error", "state"), [(KeyboardInterrupt(), "interrupted"), (OSError(28, "full"), "failed")])
def test_the_end_of_ranks_that_rank_0_did_not_tell_is_told(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, error: BaseException, state: str
) -> None:
    def killed(*of: object) -> None:
        raise error

    monkeypatch.setattr(ranks, "together", killed)
    two = replace(plan, config=replace(plan.config, trainer=replace(plan.config.trainer, devices=2)))
    with pytest.raises((KeyboardInterrupt, RunFailed)):
        carry_out(two, quiet=True)
    assert decide(plan).run.state() == state


def test_a_corpus_that_changed_since_it_was_planned_is_not_trained_on(plan: Plan, text: Path) -> None:
    time.sleep(0.01)
    (text / "0.txt").write_text("something else")
    with pytest.raises(UserError, match="has changed since it was planned"):
        carry_out(plan, quiet=True)
    assert not Path(plan.config.runs).exists()


def test_a_damaged_manifest_is_told_and_can_be_trained_over(plan: Plan) -> None:
    run = decide(plan).run
    run.update_manifest(state="finished")
    for damage in ("{", "[]"):
        (run.path / "manifest.json").write_text(damage)
        with pytest.raises(UserError, match=r"manifest\.json cannot be read"):
            carry_out(plan, quiet=True)
    again = replace(plan, config=replace(plan.config, retrain=True))
    assert carry_out(again, quiet=True).run.state() == "finished"
    assert (run.path.parent / ".aside" / f"{run.id}-1" / "manifest.json").read_text() == "[]"
