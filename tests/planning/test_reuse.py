"""What would be done for a run, by what stands in its directory."""

from pathlib import Path

import pytest

from harness.composition import run_config
from harness.errors import UserError
from harness.files import new_folder
from harness.identity import code
from harness.planning.plan import Plan, resolve
from harness.planning.reuse import allowed, decide
from harness.rundir import RunDir


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return resolve(run_config(["corpus=synthetic", "experiment=tiny", f"runs={tmp_path}"]))


def state(plan: Plan, state: str, *, step: int | None = None, digest: str | None = None) -> RunDir:
    """The run's directory in some state, with a checkpoint or without, made by this code or other."""
    made_by = code(plan.config)
    run = decide(plan).run
    digests = made_by["digests"] if digest is None else {**made_by["digests"], "harness": digest}
    run.update_manifest(state=state, code={**made_by, "digests": digests})
    if step is not None:
        with new_folder(run.checkpoint(step)) as folder:
            (folder / "weights").write_text("1")
    return run


def test_a_run_that_is_not_there_is_trained(plan: Plan) -> None:
    assert decide(plan).action == "train"
    assert not decide(plan).run.path.exists()


@pytest.mark.parametrize("stopped", ["running", "failed", "interrupted"])
def test_a_stopped_run_goes_on_from_its_last_checkpoint(plan: Plan, stopped: str) -> None:
    state(plan, stopped)
    assert decide(plan).action == "train"
    state(plan, stopped, step=7)
    assert decide(plan).action == "resume"
    assert "step 7" in decide(plan).reason


def test_a_finished_run_is_reused(plan: Plan) -> None:
    state(plan, "finished", step=10)
    assert decide(plan).action == "reuse"


def test_a_finished_run_whose_last_checkpoint_is_damaged_makes_it_again(plan: Plan) -> None:
    """What would be scored otherwise is an earlier one."""
    run = state(plan, "finished", step=9)
    state(plan, "finished", step=10).update_manifest(result={"steps": 10})
    assert decide(plan).action == "reuse"
    (run.checkpoint(10) / "weights").write_text("0")
    assert decide(plan).action == "resume"
    assert "goes on from step 9" in decide(plan).reason


@pytest.mark.parametrize("stands", ["finished", "interrupted"])
def test_what_other_code_made_is_refused_with_what_to_say(plan: Plan, stands: str) -> None:
    state(plan, stands, step=7, digest="of other code")
    with pytest.raises(UserError, match=r"made by other code of harness than is installed.*reuse=any.*retrain=true"):
        allowed(plan)


def test_a_run_that_failed_before_its_first_checkpoint_can_be_tried_with_mended_code(plan: Plan) -> None:
    state(plan, "failed", digest="of code with a fault")
    assert allowed(plan).action == "train"
