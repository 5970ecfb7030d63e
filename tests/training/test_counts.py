"""A model of counts in the one training loop: what it has seen is what it knows, killed or not; what cannot be is
refused."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir, trained

from harness.errors import UserError
from harness.planning.plan import resolve
from harness.rundir import RunDir
from harness.scoring.ngram import NGram
from harness.training import checkpoints
from harness.training.train import load_model

STEPS = 12


def counting(text: Path, order: int = 2, **changes):
    values = {"architecture": {"name": "ngram", "order": order}, "trainer": {"log_every": 1, "checkpoints": 3}}
    return config(text, **{name: values.get(name, {}) | change for name, change in (values | changes).items()})


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    """The small run's architecture is a transformer, whose options a model of counts has not."""
    import small_runs

    monkeypatch.setattr(small_runs, "ARCHITECTURE", {})


def carry_out(of, path: Path) -> RunDir:
    run = run_dir(path, of)
    trained(job(of, STEPS), run)
    return run


def test_its_held_out_loss_is_that_of_the_baseline_of_reports(text: Path, tmp_path: Path):
    """The bigram of the tokens that it was shown, as `harness study` counts it; at lr=0 the discounts are the same."""
    of = counting(text, optimizer={"lr": 0.0})
    run = carry_out(of, tmp_path / "run")
    work = job(of, STEPS)
    rows = work.dataset.stream(0).sequences(0, STEPS * 4).tokens_BS
    held_out = work.dataset.validation(10**6).tokens_BS
    width = rows.shape[1]
    seams = np.arange(0, rows.size, width)
    baseline = NGram(rows.flatten(), 2, work.vocabulary, starts=np.array([], dtype=int), seams=seams)
    nats = -baseline.log_probabilities(held_out.flatten(), np.arange(0, held_out.size, width))
    expected = nats.reshape(held_out.shape)[:, 1:].mean()
    result = run.manifest()["result"]
    assert result["held_out_loss"] == pytest.approx(expected, abs=1e-6)
    assert result["held_out_loss"] < run.metrics()[0]["loss"] - 1
    assert run.metrics()[0]["loss"] == pytest.approx(math.log(work.vocabulary)), "nothing has been counted before it"
    assert result["mfu"] == 0


def test_the_discounts_are_learned_and_the_counts_are_of_any_cut(text: Path, tmp_path: Path):
    whole = carry_out(counting(text, 3), tmp_path / "whole")
    cut = carry_out(counting(text, 3, trainer={"micro_batch": 1}), tmp_path / "cut")
    one, two = (load_model(run)[0].state_dict() for run in (whole, cut))
    assert one["heads.language_model.shifts_O"].abs().min() > 0
    torch.testing.assert_close(one, two)
    assert one["heads.language_model.levels.2.counts_G"].sum() == STEPS * 4 * 16


def test_stopped_and_started_again_it_ends_with_the_same_bits(text: Path, tmp_path: Path, monkeypatch):
    whole, stopped = carry_out(counting(text, 3), tmp_path / "whole"), run_dir(tmp_path / "run", counting(text, 3))
    save = checkpoints.Storage.save

    def fails(self, final, *rest):
        save(self, final, *rest)
        if final.name.endswith("8"):
            raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Storage, "save", fails)
        with pytest.raises(OSError, match="the disk is gone"):
            trained(job(counting(text, 3), STEPS), stopped)
    trained(job(counting(text, 3), STEPS), stopped)
    for name in ("model.safetensors", "optimizer.safetensors"):
        one, two = (load_file(run.checkpoint(STEPS) / name) for run in (whole, stopped))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert [row["loss"] for row in whole.metrics()] == [row["loss"] for row in stopped.metrics()]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer": {"devices": 2}}, "architecture=ngram counts in one process: say trainer.devices=1 and not 2"),
        ({"budget": {"flops": 1e9}}, "budget.flops=1e\\+09 is no budget for architecture=ngram, which does none"),
        ({"method": {"name": "mlm"}}, "asks for Full visibility, which architecture=ngram cannot do"),
        (
            {"quantizer": {"name": "qat_int8"}},
            "architecture=ngram has no matrix that quantizer=qat_int8 could be put to",
        ),
    ],
)
def test_what_cannot_be_counted_is_refused_before_anything_starts(text: Path, changes, message):
    with pytest.raises(UserError, match=message):
        resolve(counting(text, **changes))
