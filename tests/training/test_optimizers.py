"""Optimizers, frozen parts and shares of the rate in a run that trains."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import config, job, run_dir, trained

from harness.training.train import load_model

STEPS = 12


def weights(text: Path, folder: Path, steps: int = STEPS, **options: Any) -> dict[str, torch.Tensor]:
    """After a short run. options: of the optimizer."""
    run_config = config(text, optimizer=options, schedule={"name": "linear"})
    run = run_dir(folder, run_config)
    trained(job(run_config, steps), run)
    return load_model(run)[0].state_dict()


def start(text: Path) -> dict[str, torch.Tensor]:
    """Before it."""
    from harness.training.fit import build_loop

    return build_loop(job(config(text), STEPS)).model.state_dict()


@pytest.mark.parametrize("name", ["muon", "lion"])
def test_it_learns(text: Path, tmp_path: Path, name: str):
    run_config = config(text, optimizer={"name": name, "lr": {"muon": 0.01, "lion": 0.003}[name]})
    run = run_dir(tmp_path / "run", run_config)
    trained(job(run_config, 60), run)
    losses = [row["loss"] for row in run.metrics()]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", ["adamw", "muon", "lion"])
def test_what_is_frozen_stays_and_the_rest_moves(text: Path, tmp_path: Path, name: str):
    before = start(text)
    after = weights(text, tmp_path / "run", name=name, frozen=["body.tokens.*", "body.blocks.0.attention.*"])
    stayed = {key for key in before if torch.equal(before[key], after[key])}
    tied = {"heads.language_model.weight"}
    assert stayed == {
        key for key in before if key.startswith(("body.tokens.", "body.blocks.0.attention.")) or key in tied
    }


@pytest.mark.parametrize("name", ["adamw", "muon", "lion"])
def test_a_share_of_zero_is_as_good_as_frozen_and_a_layer_below_moves_less(text: Path, tmp_path: Path, name: str):
    before = start(text)
    after = weights(text, tmp_path / "run", steps=3, name=name, layer_decay=0.1, rates={"body.tokens.*": 0.0})
    assert torch.equal(before["body.tokens.weight"], after["body.tokens.weight"])
    moved = [
        (after[key] - before[key]).norm() for key in (f"body.blocks.{k}.feedforward.down.weight" for k in range(2))
    ]
    assert 0.05 < moved[0] / moved[1] < 0.2


def test_the_rate_that_is_told_is_that_of_parameters_without_a_share(text: Path, tmp_path: Path):
    """The first group is the embeddings', whose share is the smallest."""
    of = config(text, optimizer={"lr": 0.01, "layer_decay": 0.5}, trainer={"log_every": 1})
    run = run_dir(tmp_path / "run", of)
    trained(job(of, 4), run)
    assert [row["lr"] for row in run.metrics()] == [0.01 * of.schedule.factor(step, 4) for step in range(4)]
