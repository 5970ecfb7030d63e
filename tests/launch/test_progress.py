"""What a person sees of several runs: how far each is, how far all are, and how long it will take."""

from types import SimpleNamespace

import pytest

from harness.launch import progress
from harness.launch.progress import Watch
from harness.rundir import RunDir


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now.time)
    return now


def plans(**flops):
    return [SimpleNamespace(id=name, flops=value, steps=100) for name, value in flops.items()]


def reach(folder, name, step):
    run = RunDir(folder / name)
    run.path.mkdir(exist_ok=True)
    run.append_metrics([{"step": step, "loss": 3.21, "tokens_per_second": 42_000.0, "mfu": 0.2}])


def test_the_whole_is_measured_in_work_not_in_runs(tmp_path, clock, capsys):
    watch = Watch(plans(small=1.0, large=9.0), tmp_path, interval=1.0)
    watch.tick(["small", "large"])
    clock.time = 10.0
    reach(tmp_path, "small", 100)
    reach(tmp_path, "large", 50)
    watch.tick(["large"])
    said = capsys.readouterr().err
    assert "[ 55%] 1/2 runs done, 8 s left" in said  # 0.1 + 0.9 / 2 in 10 s
    assert "large 50% loss 3.210, 42 k tokens/s, MFU 20%" in said


def test_what_an_earlier_start_has_done_took_no_time_of_this_one(tmp_path, clock, capsys):
    reach(tmp_path, "a", 50)
    watch = Watch(plans(a=1.0), tmp_path, interval=1.0)
    watch.tick(["a"])
    clock.time = 10.0
    reach(tmp_path, "a", 75)
    watch.tick(["a"])
    assert "[ 75%] 0/1 runs done, 10 s left" in capsys.readouterr().err


def test_nothing_is_foretold_from_nothing(tmp_path, clock, capsys):
    watch = Watch(plans(a=1.0, b=1.0), tmp_path, interval=1.0)
    clock.time = 2.0
    watch.tick(["a"])
    assert "[  0%] 0/2 runs done, time left unknown | a 0% starting" in capsys.readouterr().err


def test_lines_come_at_intervals_and_not_at_every_look(tmp_path, clock, capsys):
    watch = Watch(plans(a=1.0), tmp_path, interval=15.0)
    for second in range(60):
        clock.time = float(second)
        watch.tick(["a"])
    assert len(capsys.readouterr().err.splitlines()) == 3
