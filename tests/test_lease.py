"""One process at a time carries a run out; one that was given up publishes nothing more."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import lease
from harness.files import is_whole, write_json
from harness.lease import LeaseLost
from harness.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "runs" / "aa")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.04)
    monkeypatch.setattr(lease, "TTL", 0.4)


def forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0 if os.sys.exception() is None else 1)
    return child


def as_if_elsewhere(held: RunDir, *, stands_still: bool) -> None:
    """The holder seems to be on a machine that this one's locks do not reach; it may have stopped to give signs of
    life, as a stopped process or one behind a broken network does."""
    assert held.held is not None
    file = held.held.folder / lease.HOLDER
    file.write_text(json.dumps({**json.loads(file.read_text()), "boot": "another", "host": "elsewhere"}))
    fcntl.flock(held.held._lock, fcntl.LOCK_UN)
    if stands_still:
        held.held._ended.set()
        held.held._thread.join()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


# ------------------------------------------------------------------------------- who holds it


def test_another_process_is_told_who_holds_the_run_and_waits(run: RunDir, capfd: pytest.CaptureFixture[str]) -> None:
    with run.lease():
        child = forked(lambda: lease.take(run.path))
        said = ""
        while "waiting" not in said:
            said += capfd.readouterr().err
        assert f"aa is carried out by process {os.getpid()} on " in said
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    assert os.waitpid(child, 0)[1] == 0


def test_what_a_dead_holder_left_is_cleared_away_at_once(run: RunDir) -> None:
    def die() -> None:
        held = RunDir(run.path, lease.take(run.path))
        (held.stage("step-1") / "half").write_text("half a file")
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(forked(die), 0)
    assert list(run.path.glob(".attempt/*/step-1/half"))
    before = time.monotonic()
    with run.lease() as held:
        assert time.monotonic() - before < 1
        assert held.held is not None
        assert [path.name for path in run.path.glob(".attempt/*")] == [held.held.token]
        assert not list(run.path.glob(".attempt/*/step-1"))
    assert [path.name for path in run.path.parent.glob(".leases/*")] == ["aa"]


def test_a_lease_under_which_nothing_was_written_leaves_no_directory(run: RunDir) -> None:
    with run.lease():
        assert run.path.is_dir()
    assert not run.path.exists()


def test_a_holder_elsewhere_that_gives_signs_of_life_is_waited_for(
    run: RunDir, quick: None, capfd: pytest.CaptureFixture[str]
) -> None:
    taken = threading.Event()

    def take() -> None:
        with run.lease():
            taken.set()

    with run.lease() as held:
        as_if_elsewhere(held, stands_still=False)
        thread = threading.Thread(target=take)
        thread.start()
        assert not taken.wait(3 * lease.TTL)
    thread.join()
    assert taken.is_set()
    assert "carried out by process" in capfd.readouterr().err


def test_of_several_machines_without_common_locks_one_has_the_run_at_a_time(
    run: RunDir, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread plays a machine: with a kernel of its own, and locks that reach nobody."""
    monkeypatch.setattr(lease, "_lock", lambda lock, run: None)
    monkeypatch.setattr(lease, "_boot", lambda: threading.current_thread().name)
    inside: list[str] = []
    most: list[int] = []

    def machine() -> None:
        for _ in range(3):
            with run.lease():
                inside.append(threading.current_thread().name)
                most.append(len(inside))
                time.sleep(0.01)
                inside.remove(threading.current_thread().name)

    machines = [threading.Thread(target=machine) for _ in range(4)]
    for one in machines:
        one.start()
    for one in machines:
        one.join()
    assert most == [1] * 12


# ----------------------------------------------------------------------- a holder that was given up


@pytest.fixture
def given_up(run: RunDir, quick: None):
    """A holder that seems dead, and the one who has taken the run over from another machine."""
    with run.lease() as old:
        old.update_manifest(state="running")
        old.forget_metrics_after(0)
        old.append_metrics([{"step": 1}])
        with old.new_folder(run.checkpoint(1)) as folder:
            (folder / "weights").write_text("of the old holder")
        as_if_elsewhere(old, stands_still=True)
        with run.lease() as new:
            yield old, new


LATE_WORDS: dict[str, Callable[[RunDir], object]] = {
    "manifest": lambda run: run.update_manifest(state="finished"),
    "scores": lambda run: run.add_scores([{"checkpoint": 1, "suite": "s", "task": "a", "metric": "acc"}]),
    "metrics": lambda run: run.append_metrics([{"step": 2}]),
    "all metrics": lambda run: run.forget_metrics_after(0),
    "a removal": lambda run: run.remove(run.checkpoint(1)),
    "a folder": lambda run: run.stage("step-00000002"),
    "an aside": lambda run: run.move_aside(),
}


@pytest.mark.parametrize("word", LATE_WORDS)
def test_it_changes_nothing_and_is_told_so(given_up: tuple[RunDir, RunDir], word: str) -> None:
    old, new = given_up
    new.update_manifest(state="running")
    new.forget_metrics_after(1)
    new.add_scores([])
    before = {path: path.read_bytes() for path in new.path.rglob("*") if path.is_file() and path.name != lease.PULSE}
    with pytest.raises(LeaseLost, match="Run aa was taken over .* carried out by process"):
        LATE_WORDS[word](old)
    after = {path: path.read_bytes() for path in new.path.rglob("*") if path.is_file() and path.name != lease.PULSE}
    assert after == before


def test_a_folder_begun_before_and_filled_after_is_not_published(run: RunDir, quick: None) -> None:
    with run.lease() as old:
        old.update_manifest(state="running")
        with pytest.raises(LeaseLost), old.new_folder(run.checkpoint(2)) as folder:
            (folder / "weights").write_text("of the old holder")
            as_if_elsewhere(old, stands_still=True)
            with run.lease():
                assert not folder.exists()
                with pytest.raises(FileNotFoundError):
                    write_json(folder / "trainer.json", {})
    assert run.checkpoints() == []


def test_a_line_of_metrics_on_its_way_goes_to_a_file_without_a_name(given_up: tuple[RunDir, RunDir]) -> None:
    old, new = given_up
    assert old.held is not None
    assert old.held.metrics is not None
    new.forget_metrics_after(1)
    new.append_metrics([{"step": 2, "by": "new"}])
    old.held.metrics.write(b'{"step": 2, "by": "old"}\n')
    assert new.metrics() == [{"step": 1}, {"step": 2, "by": "new"}]


def test_what_it_published_before_stands(given_up: tuple[RunDir, RunDir]) -> None:
    _, new = given_up
    assert new.last_whole_checkpoint() == (1, new.checkpoint(1))


# ------------------------------------------------------------------------------------- publishing


def test_a_folder_that_several_processes_fill_is_published_as_one(run: RunDir) -> None:
    with run.lease() as held:
        staged = held.stage("step-00000007")
        children = [forked(lambda k=k: (staged / f"part-{k}").write_text(str(k))) for k in range(3)]
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        assert run.checkpoints() == []
        held.publish(staged, run.checkpoint(7))
        assert run.last_whole_checkpoint() == (7, run.checkpoint(7))
        assert sorted(path.name for path in run.checkpoint(7).glob("part-*")) == ["part-0", "part-1", "part-2"]


def test_a_damaged_folder_gives_way_and_a_whole_one_stays(run: RunDir) -> None:
    def publish(held: RunDir, content: str) -> None:
        with held.new_folder(run.checkpoint(1)) as folder:
            (folder / "weights").write_text(content)

    weights = run.checkpoint(1) / "weights"
    with run.lease() as held:
        publish(held, "first")
        publish(held, "second")
        assert weights.read_text() == "first"
        weights.write_text("damaged")
        publish(held, "third")
        assert weights.read_text() == "third"
        assert is_whole(run.checkpoint(1))


def test_a_child_of_the_holder_writes_with_the_lease_and_does_not_end_it(run: RunDir) -> None:
    def child() -> None:
        with held.new_folder(run.checkpoint(1)) as folder:
            (folder / "weights").write_text("1")
        held.append_metrics([{"step": 1}])
        held.at_step(1)
        held.held.release()

    with run.lease() as held:
        held.at_step(0)
        assert os.waitpid(forked(child), 0)[1] == 0
        held.update_manifest(state="finished")
        assert run.metrics() == [{"step": 1}]
        assert run.manifest()["attempts"][0]["to_step"] == 1


def test_an_old_directory_is_moved_aside_under_the_lease(run: RunDir) -> None:
    run.update_manifest(state="finished")
    with run.lease() as held:
        held.move_aside()
        assert [path.name for path in run.path.iterdir()] == [lease.ATTEMPT]
        held.update_manifest(state="running")
    assert run.state() == "running"
    assert RunDir(run.path.parent / ".aside" / "aa-1").state() == "finished"


# --------------------------------------------------------------------------------------- attempts


def test_the_steps_of_all_attempts_are_counted_also_of_those_that_were_killed(run: RunDir) -> None:
    def killed_at(first: int, last: int) -> None:
        held = RunDir(run.path, lease.take(run.path))
        held.update_manifest(state="running")
        for step in range(first, last + 1):
            held.at_step(step)
        os.kill(os.getpid(), signal.SIGKILL)

    for first, last in ((0, 7), (5, 12)):
        os.waitpid(forked(lambda first=first, last=last: killed_at(first, last)), 0)
    with run.lease() as held:
        held.at_step(10)
        held.at_step(20)
        held.update_manifest(state="interrupted")
    with run.lease():
        pass  # one that found nothing to do is no attempt
    attempts = run.manifest()["attempts"]
    assert [(one["from_step"], one["to_step"], one["ended"]) for one in attempts] == [
        (0, 7, "killed"), (5, 12, "killed"), (10, 20, "interrupted"),
    ]  # fmt: skip
    assert sum(one["to_step"] - one["from_step"] for one in attempts) == 24
    assert len({one["token"] for one in attempts}) == 3


def test_an_attempt_whose_end_could_not_be_written_is_counted_by_the_next(run: RunDir) -> None:
    with pytest.raises(OSError, match="full"), run.lease() as held:
        held.update_manifest(state="running")
        held.at_step(0)
        held.at_step(9)
        (held.stage("step-1") / "half").write_text("half a file")
        raise OSError("the disk is full, and the manifest cannot say so")
    assert not list(run.path.glob(".attempt/*/step-1"))
    with run.lease():
        pass
    assert [(one["to_step"], one["ended"]) for one in run.manifest()["attempts"]] == [(9, "killed")]
    assert not (run.path / ".attempt").exists()


def test_clocks_that_jump_change_nothing(run: RunDir, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder elsewhere lives on by its count, though the clock says that years have gone by, or have come back."""
    real, jumps = time.time, iter([1e9, -1e9] * 10_000)
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    taken = threading.Event()

    def take() -> None:
        with run.lease():
            taken.set()

    with run.lease() as held:
        os.utime(held.held.folder / lease.PULSE, (0, 0))
        as_if_elsewhere(held, stands_still=False)
        thread = threading.Thread(target=take)
        thread.start()
        assert not taken.wait(2 * lease.TTL)
        held.update_manifest(state="finished")
    thread.join()
