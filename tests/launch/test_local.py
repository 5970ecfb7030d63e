"""Jobs side by side: in order, so many at a time, each end told, and nothing left running."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from harness.errors import RunFailed, UserError
from harness.launch.local import Job, Pool, workers_here


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
        "killed": (-9, "killed by SIGKILL"),
        "silent": (3, "exit code 3"),
    }
    assert (tmp_path / "good/log.txt").read_text() == "fine\n"
    assert "Traceback" in (tmp_path / "bug/log.txt").read_text()
    assert "Traceback" not in (tmp_path / "user/log.txt").read_text()


def test_each_job_has_a_gpu_of_its_own(tmp_path):
    def work(name):
        return lambda: (time.sleep(0.2), (tmp_path / name).write_text(os.environ["CUDA_VISIBLE_DEVICES"]))

    Pool(2, gpus=2).run([job(tmp_path / "logs", name, work(name)) for name in "abcd"])
    assert {(tmp_path / a).read_text() for a in "ab"} == {"0", "1"} == {(tmp_path / a).read_text() for a in "cd"}


@pytest.mark.parametrize(("asked", "gpus", "found"), [(3, 8, 3), (None, 8, 8), (None, 0, len(os.sched_getaffinity(0)))])
def test_as_many_workers_as_asked_or_one_a_gpu_or_one_a_core(asked, gpus, found):
    assert workers_here(asked, gpus) == found


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
