"""Jobs side by side: in order, so many at a time, each end told, and nothing left running."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from harness.errors import RunFailed, UserError
from harness.launch.local import Job, Pool
from harness.launch.machine import Machine, Needs


def job(folder, name, work):
    return Job(name, work, folder / name / "log.txt")


def test_jobs_start_in_order_and_so_many_at_a_time(tmp_path):
    def work(name):
        def write():
            (tmp_path / f"{name}.start").write_text(str(time.monotonic()))
            time.sleep(0.3)

        return write

    seen = []
    pool = Pool(2, tick=lambda names: seen.append(list(names)))
    outcomes = pool.run([job(tmp_path, name, work(name)) for name in "abcd"])
    assert sorted(outcome.name for outcome in outcomes) == list("abcd")
    assert all(outcome.code == 0 for outcome in outcomes)
    assert max(map(len, seen)) == 2
    starts = [float((tmp_path / f"{name}.start").read_text()) for name in "abcd"]
    assert max(starts[:2]) < min(starts[2:])


def test_each_end_is_told_in_its_last_words_and_the_others_go_on(tmp_path):
    def fails(error):
        def work():
            print("before")
            raise error

        return work

    works = {
        "good": lambda: print("fine"),
        "user": fails(UserError("the corpus is empty")),
        "run": fails(RunFailed("the loss is not finite")),
        "bug": fails(ZeroDivisionError("division by zero")),
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "silent": lambda: os._exit(3),
    }
    ended = {o.name: (o.code, o.error) for o in Pool(3).run([job(tmp_path, n, w) for n, w in works.items()])}
    assert ended == {
        "good": (0, ""),
        "user": (2, "the corpus is empty"),
        "run": (1, "the loss is not finite"),
        "bug": (1, "ZeroDivisionError: division by zero"),
        "killed": (-9, "killed by SIGKILL, as the system does where memory is short"),
        "silent": (3, "exit code 3"),
    }
    assert (tmp_path / "good/log.txt").read_text() == "fine\n"
    assert "Traceback" in (tmp_path / "bug/log.txt").read_text()
    assert "Traceback" not in (tmp_path / "user/log.txt").read_text()


def after(folder, name, *before, code=0):
    """A job that writes down when it began and ended, after others."""

    def work():
        (folder / f"{name}.start").write_text(str(time.monotonic()))
        time.sleep(0.2)
        (folder / f"{name}.end").write_text(str(time.monotonic()))
        os._exit(code)

    return Job(name, work, folder / "logs" / name, after=before)


def test_a_job_starts_when_those_it_comes_after_have_ended_and_lets_others_go_first(tmp_path):
    jobs = [
        after(tmp_path, "child", "trunk"),
        after(tmp_path, "trunk"),
        after(tmp_path, "other"),
        after(tmp_path, "last", "child", "other"),
    ]
    outcomes = Pool(2).run(jobs)
    assert all(outcome.code == 0 and outcome.started for outcome in outcomes)
    at = {path.name: float(path.read_text()) for path in tmp_path.glob("*.*")}
    assert max(at["trunk.start"], at["other.start"]) < at["trunk.end"] <= at["child.start"]
    assert max(at["child.end"], at["other.end"]) <= at["last.start"]


def test_what_comes_after_a_failure_is_not_started_and_says_why(tmp_path):
    jobs = [
        after(tmp_path, "trunk", code=3), after(tmp_path, "child", "trunk"), after(tmp_path, "grandchild", "child"),
        after(tmp_path, "other"),
    ]  # fmt: skip
    ended = {o.name: (o.code, o.error, o.started) for o in Pool(1).run(jobs)}
    assert ended == {
        "trunk": (3, "exit code 3", True),
        "child": (1, "not started, since trunk failed", False),
        "grandchild": (1, "not started, since child failed", False),
        "other": (0, "", True),
    }
    assert not list(tmp_path.glob("*child.start"))


def where(folder, name, **needs):
    """A job that writes down the cores and GPUs it finds itself on."""

    def work():
        found = [sorted(os.sched_getaffinity(0)), os.environ.get("CUDA_VISIBLE_DEVICES", "")]
        (folder / name).write_text(json.dumps(found))
        time.sleep(0.3)

    return Job(name, work, folder / "logs" / name, Needs(**needs))


def places(folder, names):
    return [tuple(json.loads((folder / name).read_text())) for name in names]


def test_each_job_has_gpus_of_its_own_as_many_as_it_needs(tmp_path):
    machine = Machine(cores=(0,), gpus=("2", "GPU-5a", "7"))
    jobs = [where(tmp_path, "a", cores=0, gpus=2), *(where(tmp_path, name, cores=0, gpus=1) for name in "bcd")]
    seen = []
    Pool(machine=machine, tick=lambda names: seen.append(set(names))).run(jobs)
    a, b, c, d = (gpus for _, gpus in places(tmp_path, "abcd"))
    assert (a, b) == ("2,GPU-5a", "7")
    assert {c, d} < {"2", "GPU-5a", "7"}
    assert {"a", "b"} in seen
    assert max(map(len, seen)) <= 3, "there are three GPUs"


needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


@needs_two_cores
def test_jobs_are_pinned_to_cores_of_their_own(tmp_path):
    first, second, *_ = sorted(os.sched_getaffinity(0))
    Pool(machine=Machine((first, second))).run([where(tmp_path, name) for name in "ab"])
    assert places(tmp_path, "ab") == [([first], ""), ([second], "")]


@needs_two_cores
def test_a_job_for_all_cores_runs_alone_and_so_does_one_for_more(tmp_path):
    both = sorted(os.sched_getaffinity(0))[:2]
    jobs = [where(tmp_path, "a"), where(tmp_path, "b", cores=2), where(tmp_path, "c", cores=9)]
    seen = []
    Pool(machine=Machine(tuple(both)), tick=lambda names: seen.append(len(names))).run(jobs)
    assert places(tmp_path, "bc") == [(both, "")] * 2
    assert max(seen) == 1


def test_more_jobs_than_cores_where_asked_for_share_them(tmp_path):
    everything = sorted(os.sched_getaffinity(0))
    seen = []
    pool = Pool(3, Machine((everything[0],)), tick=lambda names: seen.append(len(names)))
    pool.run([where(tmp_path, name) for name in "abc"])
    assert places(tmp_path, "abc") == [(everything, "")] * 3
    assert max(seen) == 3


def test_pinning_can_be_left(tmp_path):
    everything = sorted(os.sched_getaffinity(0))
    Pool(machine=Machine((everything[0],)), pin=False).run([where(tmp_path, "a")])
    assert places(tmp_path, "a") == [(everything, "")]


PARENT = """
    import sys, time
    from pathlib import Path
    from harness.launch.local import Job, Pool

    folder = Path(sys.argv[1])

    def work(name):
        def run():
            (folder / f"{name}.pid").write_text(str(__import__("os").getpid()))
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                (folder / f"{name}.stopped").write_text("saved")
                raise
        return run

    Pool(2).run([Job(name, work(name), folder / f"{name}.log") for name in "abc"])
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_when_the_parent_ends_nothing_is_left_running(tmp_path, how):
    """Ctrl-C and SIGTERM ask each child to stop and wait for it; a parent that is killed takes its children with it."""
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path)], stderr=subprocess.PIPE)
    wait_for(lambda: len([p for p in tmp_path.glob("*.pid") if p.read_text()]) == 2)
    children = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
    parent.send_signal(how)
    parent.communicate(timeout=20)
    wait_for(lambda: not any(map(alive, children)))
    assert not (tmp_path / "c.pid").exists(), "what had not been started is not started"
    if how != signal.SIGKILL:
        assert len(list(tmp_path.glob("*.stopped"))) == 2


def test_a_second_interrupt_waits_for_nothing(tmp_path):
    """A child that does not leave at the first is not waited for after the second."""
    stubborn = PARENT.replace("except KeyboardInterrupt:", "except KeyboardInterrupt:\n                time.sleep(60)")
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(stubborn), str(tmp_path)], stderr=subprocess.PIPE)
    wait_for(lambda: len([p for p in tmp_path.glob("*.pid") if p.read_text()]) == 2)
    parent.send_signal(signal.SIGINT)
    assert b"The 2 runs leave with a checkpoint; Ctrl-C again ends at once." in parent.stderr.readline()
    parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=10)
    assert not any(alive(int(path.read_text())) for path in tmp_path.glob("*.pid"))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
