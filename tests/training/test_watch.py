"""What is found while a run trains, and what is done about it."""

import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from small_runs import config, job, run_dir, trained

from harness.config import ConfigError, from_mapping
from harness.errors import RunFailed
from harness.rundir import RunDir
from harness.schema import WatchConfig
from harness.training.fit import build_loop
from harness.training.watch.norms import part_of
from harness.training.watch.spikes import ENOUGH, Window
from harness_plugins.objective.clm.clm import CausalLanguageModelling

STEPS, BATCH = 40, 4


def do(text: Path, path: Path, steps: int = STEPS, **changes: Any) -> tuple[RunDir, dict[str, Any]]:
    of = config(text, **{"trainer": {"log_every": 1, "checkpoints": 4, "keep": 9}, **changes})
    run = run_dir(path, of)
    return run, trained(job(of, steps), run)


def bad_batches(monkeypatch: pytest.MonkeyPatch, *steps: int, factor: float = 30.0) -> list[int]:
    """Makes some steps of the stream go wrong; returns the steps that are trained on or tried, as they come."""
    plain, seen = CausalLanguageModelling.losses, []

    def losses(self: Any, model: Any, batch: Any) -> dict[str, torch.Tensor]:
        step = int(batch.places_B[0]) // BATCH
        if model.training:
            seen.append(step)
        scale = factor if model.training and step in steps else 1.0
        return {name: term * scale for name, term in plain(self, model, batch).items()}

    monkeypatch.setattr(CausalLanguageModelling, "losses", losses)
    return seen


def weights(run: RunDir) -> dict[str, torch.Tensor]:
    return load_file(run.checkpoints()[-1][1] / "model.safetensors")


# ----------------------------------------------------------------------------------------- spikes


def test_a_spike_is_recorded_and_the_run_goes_on(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bad_batches(monkeypatch, 30)
    run, result = do(text, tmp_path / "run")
    (spike,) = run.events("spike")
    assert spike["step"] == 31
    assert spike["spike_loss"] == pytest.approx(run.metrics()[30]["loss"])
    assert spike["deviations"]["loss"] > 6
    assert result["steps"] == STEPS


def test_a_plain_run_has_no_spike(text: Path, tmp_path: Path):
    run, _ = do(text, tmp_path / "run")
    assert run.events() == []


@pytest.mark.parametrize("factor", [30.0, math.nan])
def test_a_batch_that_makes_a_spike_is_skipped(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
):
    seen = bad_batches(monkeypatch, 30, factor=factor)
    run, result = do(text, tmp_path / "run", watch={"on_spike": "skip"})
    assert [(row["left_out"], row["action"]) for row in run.events("spike")] == [(30, "skip")]
    assert seen == list(range(STEPS + 1)), "one more of the stream, so that the budget is kept"
    assert result["steps"] == STEPS
    assert all(row["loss"] < 10 for row in run.metrics())


def test_a_run_is_rolled_back_and_leaves_the_batch_out(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = bad_batches(monkeypatch, 34)
    run, _ = do(text, tmp_path / "run", watch={"on_spike": "roll_back"})
    assert [(row["step"], row["from_step"], row["left_out"]) for row in run.events("rolled_back")] == [(30, 35, 34)]
    assert seen == [*range(35), *range(30, 34), *range(35, STEPS + 1)]
    assert [row["step"] for row in run.metrics()] == list(range(1, STEPS + 1))
    skipped, _ = do(text, tmp_path / "skipped", watch={"on_spike": "skip"})
    assert all(torch.equal(weights(run)[name], tensor) for name, tensor in weights(skipped).items())


def test_rolling_back_ends_where_every_batch_is_bad(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bad_batches(monkeypatch, *range(32, 99))
    with pytest.raises(RunFailed, match=r"the way on from step 30 meets another.*watch\.spike"):
        do(text, tmp_path / "run", watch={"on_spike": "roll_back"})
    assert RunDir(tmp_path / "run").last_whole_checkpoint() is not None


def test_skipping_ends_where_every_batch_is_bad(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = bad_batches(monkeypatch, *range(32, 999), factor=math.nan)
    with pytest.raises(RunFailed, match=r"After step 32, 50 batches in a row were left out.*optimizer\.lr"):
        do(text, tmp_path / "run", watch={"on_spike": "skip"})
    assert len(seen) == 32 + 50
    assert RunDir(tmp_path / "run").last_whole_checkpoint() is not None


def test_skipping_lets_a_lasting_rise_through(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is not the batches that are at fault then: to leave out all that follow would be to stand still."""
    steps = 2 * ENOUGH
    bad_batches(monkeypatch, *range(ENOUGH, 500))
    run, result = do(text, tmp_path / "run", steps, watch={"on_spike": "skip"})
    left_out = [row["left_out"] for row in run.events("spike")]
    assert left_out == list(range(ENOUGH, ENOUGH + len(left_out)))
    assert 0 < len(left_out) <= ENOUGH + 1
    assert result["steps"] == steps


def test_divergence_is_told_once(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bad_batches(monkeypatch, *range(100, 400), factor=12.0)
    run, _ = do(text, tmp_path / "run", steps=240)
    (told,) = run.events("divergence")
    assert told["step"] > 100
    assert told["median_loss"] > told["lowest_median_loss"]


@given(st.lists(st.floats(0.1, 10.0), min_size=ENOUGH, max_size=80), st.floats(-5.0, 50.0))
def test_a_value_no_higher_than_all_before_is_never_a_spike(values: list[float], value: float):
    window = Window(values)
    kept = values[-64:]
    if value <= max(kept):
        assert window.above(value) == 0.0
    else:
        median = statistics.median(kept)
        spread = 1.4826 * statistics.median(abs(v - median) for v in kept)
        assert window.above(value) == pytest.approx((value - median) / max(spread, median * 1e-3))


# ------------------------------------------------------------------------------------------ others


def test_norms_by_part_add_up_to_the_whole(text: Path, tmp_path: Path):
    run, _ = do(
        text, tmp_path / "run", steps=4, watch={"norms_every": 2}, trainer={"log_every": 1, "gradient_clip": None}
    )
    rows = run.events("norms")
    assert [row["step"] for row in rows] == [2, 4]
    whole = math.sqrt(sum(norm**2 for norm in rows[0]["grad_norms"].values()))
    assert whole == pytest.approx(run.metrics()[1]["grad_norm"], rel=1e-5)
    assert "blocks.1.attention" in rows[0]["grad_norms"]
    assert rows[0]["update_norms"].keys() == rows[0]["weight_norms"].keys() == rows[0]["grad_norms"].keys()
    end = math.sqrt(sum(float(tensor.double().square().sum()) for tensor in weights(run).values()))
    assert math.sqrt(sum(norm**2 for norm in rows[1]["weight_norms"].values())) == pytest.approx(end, rel=1e-5)


def test_an_update_norm_is_the_distance_between_two_checkpoints(text: Path, tmp_path: Path):
    run, _ = do(text, tmp_path / "run", steps=4, watch={"norms_every": 4}, trainer={"checkpoints": 4, "keep": 4})
    before, after = (load_file(run.checkpoint(step) / "model.safetensors") for step in (3, 4))
    (row,) = run.events("norms")
    for part, norm in row["update_norms"].items():
        names = [name for name in after if part_of(name) == part]
        moved = math.sqrt(sum(float((after[name] - before[name]).double().square().sum()) for name in names))
        assert norm == pytest.approx(moved, rel=1e-4)


def test_activations_are_those_of_each_block(text: Path, tmp_path: Path):
    run, _ = do(text, tmp_path / "run", steps=2, watch={"activations_every": 2})
    (row,) = run.events("activations")
    assert row["step"] == 2
    assert len(row["rms"]) == len(row["largest"]) == 2
    assert all(0 < scale < largest for scale, largest in zip(row["rms"], row["largest"], strict=True))
    loop = build_loop(job(config(text), steps=2))
    assert loop.model.body.config.layers == 2


def test_validation_sees_what_the_run_is_judged_by(text: Path, tmp_path: Path):
    run, result = do(text, tmp_path / "run", watch={"validate_every": 10})
    rows = run.events("validation")
    assert [row["step"] for row in rows] == [10, 20, 30, 40]
    assert rows[-1]["held_out_loss"] == result["held_out_loss"]


def test_watching_changes_no_bit(text: Path, tmp_path: Path):
    plain, _ = do(text, tmp_path / "plain", architecture={"residual_dropout": 0.1})
    every = {"norms_every": 3, "activations_every": 3, "validate_every": 7, "sample_every": 5, "sample_tokens": 4}
    watched, _ = do(text, tmp_path / "watched", architecture={"residual_dropout": 0.1}, watch=every)
    assert all(torch.equal(weights(watched)[name], tensor) for name, tensor in weights(plain).items())


def test_a_sample_goes_on_from_its_prompt_and_is_the_same_again(text: Path, tmp_path: Path):
    watch = {"sample_every": 20, "sample_prompt": "alpha", "sample_tokens": 8}
    first, second = (do(text, tmp_path / name, watch=watch)[0].events("sample") for name in ("a", "b"))
    assert [row["step"] for row in first] == [20, 40]
    assert first == second
    assert all(row["prompt"] == "alpha" and len(row["text"].encode()) <= 24 for row in first)


def test_a_sample_takes_any_seed(text: Path, tmp_path: Path):
    run, _ = do(text, tmp_path / "run", steps=2, seeds={"noise": 2**63 - 1}, watch={"sample_every": 2})
    assert len(run.events("sample")) == 1


def test_a_body_without_layers_has_no_activations_to_look_at(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("harness.training.watch.activations.blocks", lambda model: [])
    run, _ = do(text, tmp_path / "run", steps=2, watch={"activations_every": 1})
    assert run.events() == []


def test_a_run_ends_when_the_held_out_loss_gets_no_better(text: Path, tmp_path: Path):
    changes: dict[str, Any] = {
        "watch": {"validate_every": 5, "patience": 2},
        "optimizer": {"name": "adamw", "lr": 0.0},  # nothing is learnt, so nothing gets better
    }
    run, result = do(text, tmp_path / "run", **changes)
    assert [row["step"] for row in run.events("validation")] == [5, 10, 15]
    assert result["steps"] == run.metrics()[-1]["step"] == run.checkpoints()[-1][0] == 15
    assert run.state() == "finished"
    again = trained(job(config(text, **changes), STEPS), run)
    assert again == result


def test_patience_needs_validations():
    with pytest.raises(ConfigError, match=r"watch\.patience=3 needs watch\.validate_every"):
        from_mapping(WatchConfig, {"patience": 3})
