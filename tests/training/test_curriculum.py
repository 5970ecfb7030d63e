"""A run with a curriculum: stopped anywhere it ends with the same bits, and its rows tell the tokens that it has seen."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir, trained

from harness.rundir import RunDir

STEPS = 10
CURRICULUM = {"sequence_length": [[0.3, 4], [0.6, 8]], "batch_size": [[0.4, 1], [0.6, 2]], "easiest": [[0.5, 0.3]]}
EVERY_STEP = {"checkpoints": STEPS, "keep": STEPS, "log_every": 1}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_runs import write_text

    return write_text(tmp_path_factory.mktemp("corpus"))


def shown(text: Path, objective: str):
    data = {"curriculum": CURRICULUM, "attend_across_documents": False}
    parts = {"residual_dropout": 0.2}
    return job(config(text, method={"name": objective}, data=data, architecture=parts, trainer=EVERY_STEP), STEPS)


def stopped(run: RunDir, step: int, at: Path) -> RunDir:
    """The run as it stood after so many steps."""
    shutil.copytree(run.path, at)
    found = RunDir(at)
    for later in range(step + 1, STEPS + 1):
        shutil.rmtree(found.checkpoint(later))
    found.update_manifest(state="interrupted")
    return found


@pytest.mark.slow
def test_a_run_stopped_at_any_border_ends_with_the_same_bits(text: Path, tmp_path: Path):
    of = shown(text, "clm")
    run = run_dir(tmp_path / "run", of.config)
    trained(of, run)
    expected = load_file(run.checkpoint(STEPS) / "model.safetensors")
    for step in (2, 3, 4, 5, 6, 9):
        again = stopped(run, step, tmp_path / f"again{step}")
        trained(of, again)
        found = load_file(again.checkpoint(STEPS) / "model.safetensors")
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert [row["loss"] for row in again.metrics()] == [row["loss"] for row in run.metrics()]


@pytest.mark.parametrize("objective", ["clm", "prefix"])
def test_rows_tell_the_tokens_that_it_has_seen(text: Path, tmp_path: Path, objective: str):
    of = shown(text, objective)
    run = run_dir(tmp_path / "run", of.config)
    result = trained(of, run)
    expected = [16 * places for places in (1, 2, 3, 4, 6, 8, 12, 16, 20, 24)]
    assert [row["tokens"] for row in run.metrics()] == expected
    assert result["tokens"] == expected[-1]
