"""What a person sees of several runs: how far each is, how far all are, and how long it will take."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from harness.launch import progress
from harness.launch.progress import Watch
from harness.rundir import RunDir
from harness.schema import RunConfig


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now.time)
    return now


def plans(**flops):
    return [
        SimpleNamespace(
            id=name, own_flops=value, steps=100, own_steps=100, own_tokens=420_000, config=RunConfig(seed=i)
        )
        for i, (name, value) in enumerate(flops.items())
    ]


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
    assert "large seed=1 50% loss 3.210, 42 k tokens/s, MFU 20%" in said


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
    assert "[  0%] 0/2 runs done, time left unknown | a seed=0 0% starting" in capsys.readouterr().err


def test_lines_come_at_intervals_and_not_at_every_look(tmp_path, clock, capsys):
    watch = Watch(plans(a=1.0), tmp_path, interval=15.0)
    for second in range(60):
        clock.time = float(second)
        watch.tick(["a"])
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_each_run_goes_through_its_states(tmp_path, clock):
    watch = Watch(plans(a=1.0, b=1.0, c=1.0, d=1.0), tmp_path)

    def look(*running, **states):
        for name, state in states.items():
            reach(tmp_path, name, 100 if state == "finished" else 50)
            RunDir(tmp_path / name).update_manifest(state=state)
        clock.time += 1.0
        watch.tick(running)
        return [line.state for line in watch.lines.values()]

    assert look() == ["waiting"] * 4
    assert look("a", "b", a="running", b="running") == ["training", "training", "waiting", "waiting"]
    assert watch.lines["a"].left == 5.0, "210,000 tokens at 42,000 a second"
    assert look("a", "c", a="finished", b="failed", c="running") == ["scoring", "failed", "training", "waiting"]
    assert look("d", c="interrupted", d="running") == ["done", "failed", "stopped", "training"]
    assert look() == ["done", "failed", "stopped", "failed"], "one that ends without a word has failed"


SWEEP = """
    import sys, time
    from pathlib import Path
    from types import SimpleNamespace

    from harness.launch.progress import Watch
    from harness.rundir import RunDir
    from harness.schema import RunConfig, ScaleConfig

    runs = Path(sys.argv[1])
    sizes = {f"run{w}": w for w in range(16, 32)}
    plans = [
        SimpleNamespace(
            id=i, own_flops=1.0, steps=100, own_steps=100, own_tokens=10_000,
            config=RunConfig(scale=ScaleConfig(width=w)),
        )  # fmt: skip
        for i, w in sizes.items()
    ]
    with Watch(plans, runs) as watch:
        watch.tick([])
        for name in ("run16", "run17"):
            (runs / name).mkdir()
            row = {"step": 25, "loss": 3.21, "tokens_per_second": 1500.0, "mfu": 0.2}
            RunDir(runs / name).append_metrics([row])
        print("above", file=sys.stderr)
        time.sleep(0.3)
        watch.tick(["run16", "run17"])
    print("the end", file=sys.stderr)
"""


def test_on_a_terminal_all_runs_stand_in_one_table_that_fits_and_goes(tmp_path):
    shown = on_a_terminal(SWEEP, tmp_path, lines=10, columns=110)
    last = [re.sub(r"\x1b\[[0-9;?]*\w", "", line) for line in shown.rsplit("16 runs:", 1)[1].splitlines()]
    assert last[0].strip() == "2 training, 14 waiting; 3% of the work, time left unknown"
    assert re.split(r"  +", last[2].strip()) == [
        "run16", "width=16", "training", "━━━╺━━━━━━━━", "25%", "3.210", "1,500", "20%", "5 s"
    ]  # fmt: skip
    assert re.split(r"  +", last[4].strip()) == ["run18", "width=18", "waiting", "━━━━━━━━━━━━", "0%"]
    assert last[8].startswith("and 10 more: 10 waiting")
    assert "above\r\n" in shown
    assert shown.endswith("the end\r\n")


def on_a_terminal(program, *arguments, lines, columns):
    """What a program writes to stderr where that is a terminal of that size."""
    ours, theirs = pty.openpty()
    size = {**os.environ, "LINES": str(lines), "COLUMNS": str(columns), "TERM": "xterm"}
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    child = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=size)
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody is there any more
        while part := os.read(ours, 4096):
            said += part
    assert child.wait() == 0, said.decode()
    return said.decode()


def test_a_studys_runs_are_told_by_its_own_words(tmp_path, clock, capsys):
    """A variant is one word, however many options it sets."""
    watch = Watch(plans(a=1.0, b=1.0), tmp_path, interval=1.0, varied={"a": "alibi seed=0", "b": "llama seed=1"})
    watch.tick(["a"])
    clock.time = 10.0
    reach(tmp_path, "a", 75)
    watch.tick(["a"])
    assert "a alibi seed=0 75%" in capsys.readouterr().err
