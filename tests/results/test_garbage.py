"""What can go, and what never does."""

import os
import signal
from pathlib import Path

import pytest

from harness import lease
from harness.cli import main
from harness.results.garbage import find, remove
from harness.rundir import RunDir


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished run with three checkpoints, one of them damaged."""
    run = RunDir(tmp_path / "runs" / "aa")
    with run.lease() as held:
        for step in (10, 20, 30):
            with held.new_folder(run.checkpoint(step)) as folder:
                (folder / "weights").write_bytes(bytes(1000))
        held.update_manifest(state="finished")
    (run.checkpoint(20) / "weights").write_bytes(b"damaged")
    return tmp_path / "runs"


def names(runs: Path, **also: bool) -> set[str]:
    return {str(found.path.relative_to(runs)) for found in find(runs, **also)}


def test_a_damaged_checkpoint_goes_and_whole_ones_only_when_asked_for(runs: Path) -> None:
    assert names(runs) == {"aa/checkpoints/step-00000020"}
    assert names(runs, checkpoints=True) == {"aa/checkpoints/step-00000010", "aa/checkpoints/step-00000020"}
    for found in find(runs, checkpoints=True):
        remove(found)
    assert [step for step, _ in RunDir(runs / "aa").checkpoints()] == [30]
    assert names(runs, checkpoints=True) == set()


def test_the_only_whole_checkpoint_stays_and_so_do_the_remains_where_none_is_whole(runs: Path) -> None:
    (RunDir(runs / "aa").checkpoint(30) / "weights").unlink()
    assert names(runs, checkpoints=True) == {"aa/checkpoints/step-00000020", "aa/checkpoints/step-00000030"}
    (RunDir(runs / "aa").checkpoint(10) / "weights").unlink()
    assert names(runs, checkpoints=True) == set(), "a person may still want to look"


def test_a_checkpoint_that_another_run_started_from_stays(runs: Path) -> None:
    RunDir(runs / "bb").update_manifest(state="finished", identity={"parents": {"init": "aa@10"}})
    assert names(runs, checkpoints=True) == {"aa/checkpoints/step-00000020"}


def test_checkpoints_of_a_run_that_is_not_finished_stay(runs: Path) -> None:
    RunDir(runs / "aa").update_manifest(state="interrupted")
    assert names(runs, checkpoints=True) == {"aa/checkpoints/step-00000020"}


def test_what_a_killed_attempt_left_goes_and_what_a_living_one_makes_stays(runs: Path) -> None:
    run = RunDir(runs / "aa")
    with run.lease() as held:
        held.stage("step-00000040")
        (run.path / ".manifest.json-x1").write_text("on its way")
        assert names(runs, checkpoints=True) == set()
    child = os.fork()
    if not child:
        RunDir(run.path, lease.take(run.path)).stage("step-00000040")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert names(runs) == {"aa/.attempt", "aa/.manifest.json-x1", "aa/checkpoints/step-00000020"}
    for found in find(runs):
        remove(found)
    assert names(runs) == set()
    assert not (run.path / ".attempt").exists()


def test_a_run_that_was_moved_aside_goes(runs: Path) -> None:
    with RunDir(runs / "aa").lease() as held:
        held.move_aside()
    assert names(runs) == {".aside/aa-1"}


def test_the_verb_lists_first_and_deletes_when_told(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = RunDir(runs / "aa").checkpoint(20)
    assert main(["gc", f"runs={runs}"]) == 0
    assert "step-00000020  (damaged)" in capsys.readouterr().out
    assert damaged.exists()
    assert main(["gc", f"runs={runs}", "--delete"]) == 0
    assert not damaged.exists()
    assert main(["gc", f"runs={runs}", "--delete"]) == 0
    assert "There is nothing to delete." in capsys.readouterr().out


def test_the_cache_goes_only_when_asked_for(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shards = tmp_path / "cache/harness/shards/key"
    shards.mkdir(parents=True)
    assert main(["gc", f"runs={runs}", "--delete"]) == 0
    assert shards.exists()
    assert main(["gc", f"runs={runs}", "--delete", "cache=true"]) == 0
    assert not shards.exists()
    assert main(["gc", f"runs={runs}", "cache=yes"]) == 2
