"""The ranks of one run: they find each other, and they end together, whatever ends one of them."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from harness.errors import RunFailed, UserError
from harness.launch import ranks
from harness.launch.local import Job, Pool
from harness.launch.ranks import together


def reduce(folder):
    """Work that sums the ranks' numbers by a collective and writes down what it got."""

    def work(rank):
        import torch
        import torch.distributed as dist

        dist.init_process_group("gloo")
        number = torch.tensor([10.0**rank])
        dist.all_reduce(number)
        (folder / str(rank)).write_text(f"{number.item():.0f} of {os.environ['WORLD_SIZE']}")
        dist.barrier()

    return work


def test_ranks_reduce_across_each_other(tmp_path):
    together(3, reduce(tmp_path))
    assert [(tmp_path / str(rank)).read_text() for rank in range(3)] == ["111 of 3"] * 3


def test_two_runs_of_two_ranks_each_side_by_side_in_forked_jobs(tmp_path):
    jobs = []
    for name in "ab":
        (tmp_path / name).mkdir()
        jobs.append(Job(name, lambda folder=tmp_path / name: together(2, reduce(folder)), tmp_path / f"{name}.log"))
    assert [outcome.code for outcome in Pool(2).run(jobs)] == [0, 0], (tmp_path / "a.log").read_text()
    assert [path.read_text() for path in tmp_path.glob("[ab]/?")] == ["11 of 2"] * 4


@pytest.mark.slow
def test_the_environment_is_what_lightning_reads(tmp_path):
    from lightning.fabric.plugins.environments import TorchElasticEnvironment

    def work(rank):
        found = TorchElasticEnvironment()
        assert TorchElasticEnvironment.detect()
        assert (found.global_rank(), found.local_rank(), found.node_rank(), found.world_size()) == (rank, rank, 0, 2)
        found.validate_settings(num_devices=2, num_nodes=1)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,5"

    together(2, work, gpus=[2, 5])
    assert "RANK" not in os.environ


@pytest.mark.parametrize(
    "error",
    [
        UserError("the corpus is empty"),
        RunFailed("the loss is not finite"),
        KeyboardInterrupt("SIGTERM was received"),
        ZeroDivisionError("division by zero"),
        OSError(28, "No space left on device", "metrics.jsonl"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_first_error_ends_all_ranks_and_comes_back_as_it_was(error, monkeypatch):
    monkeypatch.setattr(ranks, "SETTLE", 0.3)

    def work(rank):
        if rank == 1:
            raise error
        time.sleep(60)  # as a rank does that waits for its peer in a collective

    began = time.monotonic()
    with pytest.raises(type(error)) as raised:
        together(3, work)
    assert str(raised.value) == str(error)
    assert getattr(raised.value, "filename", None) == getattr(error, "filename", None)
    assert "In rank 1" in raised.value.__notes__[0], "--debug shows where"
    assert time.monotonic() - began < 10


def test_an_error_that_cannot_travel_is_told_in_its_words():
    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(f"{a} and {b}")

    def work(rank):
        raise Odd(1, 2)

    with pytest.raises(RunFailed, match="rank 0: .*Odd: 1 and 2"):
        together(1, work)


def test_a_killed_rank_is_named_though_its_peer_complains_first(tmp_path, capfd):
    def work(rank):
        import torch.distributed as dist

        dist.init_process_group("gloo")
        dist.barrier()
        if rank == 1:
            print("last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        dist.barrier()

    with pytest.raises(RunFailed, match="rank 1 was killed by SIGKILL"):
        together(2, work)
    assert "last words" in capfd.readouterr().err


def test_only_rank_0_is_seen(capfd):
    def work(rank):
        print(f"rank {rank} out")
        print(f"rank {rank} err", file=sys.stderr)

    together(3, work)
    assert capfd.readouterr() == ("rank 0 out\n", "rank 0 err\n")


# ------------------------------------------------------------------------------------------- signals

PARENT = """
    import os, signal, sys, time
    from pathlib import Path
    from harness.launch.local import Job, Pool
    from harness.launch.ranks import together
    from harness.training.interrupt import Interrupt

    folder, inside = Path(sys.argv[1]), sys.argv[2]

    def work(rank):
        class Counting(Interrupt):
            def _hear(self, number, frame):
                with open(folder / f"{rank}.heard", "a") as file:
                    file.write(f"{signal.Signals(number).name} ")
                super()._hear(number, frame)

        with Counting() as interrupt:
            (folder / f"{rank}.pid").write_text(str(os.getpid()))
            while interrupt.heard is None or (folder / "stubborn").exists():
                time.sleep(0.02)
            (folder / f"{rank}.left").write_text("saved")
        interrupt.check()

    if inside == "pool":
        Pool(1).run([Job("run", lambda: together(2, work), folder / "log")])
    else:
        together(2, work)
"""


@pytest.fixture
def started(tmp_path):
    """Starts two ranks beneath a parent in a process group of its own; gives the parent and the ranks' ids."""
    parents = []

    def start(inside="nothing"):
        command = [sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path), inside]
        parents.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True))
        wait_for(lambda: len([p for p in tmp_path.glob("*.pid") if p.read_text()]) == 2, parents[0])
        return parents[0], [int(path.read_text()) for path in tmp_path.glob("*.pid")]

    yield start
    for parent in parents:
        parent.kill()
        parent.wait()


@pytest.mark.parametrize("inside", ["nothing", "pool"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_parents_group_comes_to_every_rank_once(tmp_path, started, how, inside):
    parent, ranks = started(inside)
    os.killpg(parent.pid, how)
    _, said = parent.communicate(timeout=20)
    assert not any(map(alive, ranks))
    assert len(list(tmp_path.glob("*.left"))) == 2
    heard = "SIGINT " if inside == "pool" else f"{how.name} "  # a pool asks its jobs in one way
    assert [path.read_text() for path in tmp_path.glob("*.heard")] == [heard] * 2
    assert "KeyboardInterrupt" in said or "Interrupted" in said


@pytest.mark.parametrize("inside", ["nothing", "pool"])
def test_a_second_interrupt_ends_at_once(tmp_path, started, inside):
    (tmp_path / "stubborn").touch()
    parent, ranks = started(inside)
    os.killpg(parent.pid, signal.SIGINT)
    wait_for(lambda: len(list(tmp_path.glob("*.heard"))) == 2, parent)
    os.killpg(parent.pid, signal.SIGINT)
    parent.communicate(timeout=5)
    wait_for(lambda: not any(map(alive, ranks)))
    assert not list(tmp_path.glob("*.left"))


@pytest.mark.parametrize("inside", ["nothing", "pool"])
def test_ranks_do_not_outlive_a_parent_that_is_killed(tmp_path, started, inside):
    parent, ranks = started(inside)
    parent.kill()
    wait_for(lambda: not any(map(alive, ranks)))
    assert len(list(tmp_path.glob("*.left"))) == 2


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, parent=None, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        assert parent is None or parent.poll() is None, parent.stderr.read()
        time.sleep(0.05)
