"""Killed at any moment and started again, a run ends with the bits of one that was left alone."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir, trained

from harness import rundir
from harness.rundir import RunDir
from harness.training import checkpoints
from harness.training.job import TrainingJob

pytestmark = pytest.mark.slow

STEPS, KEPT_EVERY = 240, 6
PATIENCE = 120.0  # seconds


@pytest.fixture(scope="module")
def prepared(text: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """A run with dropout and accumulation, its data ready; children are forked from here, Lightning loaded."""
    import harness.training.fit  # noqa: F401

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        return job(
            config(
                text,
                architecture={"residual_dropout": 0.2, "embedding_dropout": 0.1},
                trainer={"micro_batch": 2, "checkpoints": STEPS // KEPT_EVERY, "log_every": 5},
            ),
            STEPS,
        )


@pytest.fixture(scope="module")
def undisturbed(prepared: TrainingJob, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    run = run_dir(tmp_path_factory.mktemp("undisturbed") / "run", prepared.config)
    assert wait(start(prepared, run)) == 0
    return run


def start(job: TrainingJob, run: RunDir, before: Callable[[], None] = lambda: None) -> int:
    """Trains in a child process; its id."""
    child = os.fork()
    if child:
        return child
    try:
        before()
        trained(job, run)
        os._exit(0)
    finally:
        os._exit(1)


def wait(child: int) -> int:
    """The child's exit code, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def step_of(run: RunDir) -> int:
    last = run.last_whole_checkpoint()
    return last[0] if last else 0


def assert_same_end(run: RunDir, other: RunDir) -> None:
    assert run.state() == other.state() == "finished"
    for name in ("model.safetensors", "optimizer.safetensors"):
        one, two = (load_file(r.checkpoint(STEPS) / name) for r in (run, other))
        assert set(one) == set(two)
        assert all(torch.equal(one[key], two[key]) for key in one)
    keys = ("step", "tokens", "loss", "lr", "grad_norm")
    assert [[row[k] for k in keys] for row in run.metrics()] == [[row[k] for k in keys] for row in other.metrics()]
    assert run.manifest()["result"]["held_out_loss"] == other.manifest()["result"]["held_out_loss"]


def test_three_kills_at_random_moments(prepared: TrainingJob, undisturbed: RunDir, tmp_path: Path):
    run, rng = run_dir(tmp_path / "run", prepared.config), random.Random()
    stood_at = [0]
    for _ in range(3):
        child = start(prepared, run)
        end = time.monotonic() + PATIENCE
        while step_of(run) < stood_at[-1] + 2 * KEPT_EVERY:  # it has come further than it stood
            assert time.monotonic() < end
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        assert wait(child) == -signal.SIGKILL
        assert run.state() == "running"
        stood_at.append(step_of(run))
        assert 0 < stood_at[-1] < STEPS
    assert wait(start(prepared, run)) == 0
    assert_same_end(run, undisturbed)


@pytest.mark.parametrize("where", ["write_parts", "write_json", "rename_folder"])
def test_a_kill_while_a_checkpoint_is_written(prepared: TrainingJob, undisturbed: RunDir, tmp_path: Path, where: str):
    run = run_dir(tmp_path / "run", prepared.config)
    owner = rundir if where == "rename_folder" else checkpoints
    plain = getattr(owner, where)

    def deadly(path: Path, *arguments: object) -> object:
        if f"step-{4 * KEPT_EVERY:08d}" in str(path):
            if where == "write_parts":
                (path / "model.safetensors").write_bytes(b"half a file")
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(path, *arguments)

    assert wait(start(prepared, run, lambda: setattr(owner, where, deadly))) == -signal.SIGKILL
    assert step_of(run) == 3 * KEPT_EVERY
    assert list((run.path / ".attempt").glob("*/step-*")), "the unfinished folder lies there"
    assert wait(start(prepared, run)) == 0
    assert not (run.path / ".attempt").exists()
    assert_same_end(run, undisturbed)
