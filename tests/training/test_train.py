"""One run from its start to its end: result, hooks, interruptions, failures."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from safetensors.torch import load_file
from small_runs import config, job, run_dir, trained

from harness import hookimpl, plugins
from harness.errors import RunFailed, UserError
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.training.interrupt import Interrupted
from harness.training.train import load_model

STEPS = 12


class Witness(Callback):
    """A plugin that sees every hook, and a callback that acts at the end of a step."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.act: dict[int, Any] = {}

    @hookimpl
    def register_callbacks(self, config: RunConfig, run: RunDir) -> list[Callback]:
        return [self]

    @hookimpl
    def before_run(self, config: RunConfig, run: RunDir) -> None:
        self.seen.append(f"before, {run.state()}")

    @hookimpl
    def after_run(self, config: RunConfig, run: RunDir) -> None:
        self.seen.append(f"after, {run.state()}")

    @hookimpl
    def on_run_error(self, config: RunConfig, run: RunDir, error: BaseException) -> None:
        self.seen.append(f"{type(error).__name__}, {run.state()}")

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.act.get(trainer.global_step, lambda module: None)(pl_module)


@pytest.fixture
def witness() -> Iterator[Witness]:
    plugin = Witness()
    plugins.load().manager.register(plugin)
    yield plugin
    plugins.load().manager.unregister(plugin)


def dropout(text: Path, **trainer: Any) -> RunConfig:
    """A run with dropout and accumulation."""
    return config(text, architecture={"residual_dropout": 0.2}, trainer={"micro_batch": 2, "checkpoints": 4, **trainer})


def do(of: RunConfig, path: Path, steps: int = STEPS) -> tuple[RunDir, dict[str, Any]]:
    run = run_dir(path, of)
    return run, trained(job(of, steps), run)


def tensors(run: RunDir) -> dict[str, torch.Tensor]:
    """Weights and optimizer state at the end of a run."""
    _, folder = run.checkpoints()[-1]
    return {**load_file(folder / "model.safetensors"), **load_file(folder / "optimizer.safetensors")}


def assert_same_bits(one: RunDir, other: RunDir) -> None:
    first, second = tensors(one), tensors(other)
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert one.checkpoints()[-1][0] == other.checkpoints()[-1][0]


def rows(run: RunDir) -> list[dict[str, Any]]:
    """Metrics, without what depends on the clock."""
    return [{k: row[k] for k in ("step", "tokens", "loss", "lr", "grad_norm")} for row in run.metrics()]


def test_a_run_learns_and_says_what_it_found(text: Path, tmp_path: Path, witness: Witness):
    run, result = do(dropout(text), tmp_path / "run", steps=40)
    assert run.state() == "finished"
    assert run.manifest()["result"] == result == json.loads(json.dumps(result, allow_nan=False))
    assert result["tokens"] == 40 * 4 * 16
    assert result["train_loss"] == run.metrics()[-1]["loss"] < 3.0 < 5.0 < run.metrics()[0]["loss"]
    assert result["held_out_loss"] == pytest.approx(result["train_loss"], abs=0.3)
    assert 0 < result["mfu"] < 1
    assert "measured" in result["peak_source"]
    assert [row["step"] for row in run.metrics()] == [5, 10, 15, 20, 25, 30, 35, 40]
    assert [step for step, _ in run.checkpoints()] == [30, 40]
    assert witness.seen == ["before, running", "after, finished"]


def test_the_same_run_twice_is_equal_bit_for_bit(text: Path, tmp_path: Path):
    first, _ = do(dropout(text), tmp_path / "first")
    second, _ = do(dropout(text), tmp_path / "second")
    assert_same_bits(first, second)
    assert rows(first) == rows(second)


@pytest.mark.parametrize("seed", ["init", "data", "noise"])
def test_each_seed_changes_the_result(text: Path, tmp_path: Path, seed: str):
    _, plain = do(dropout(text), tmp_path / "plain", steps=2)
    changed = config(
        text, architecture={"residual_dropout": 0.2}, trainer={"micro_batch": 2, "checkpoints": 4}, seeds={seed: 1}
    )
    _, other = do(changed, tmp_path / "other", steps=2)
    assert plain["train_loss"] != other["train_loss"]


@pytest.mark.parametrize("precision", ["bf16", "bf16-true"])
def test_bfloat16_is_near_float32(text: Path, tmp_path: Path, precision: str):
    _, exact = do(config(text), tmp_path / "exact")
    run, rough = do(config(text, trainer={"precision": precision}), tmp_path / "rough")
    assert rough["held_out_loss"] == pytest.approx(exact["held_out_loss"], abs=0.05)
    assert rough["held_out_loss"] != exact["held_out_loss"]
    weights = load_file(run.checkpoints()[-1][1] / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32 if precision == "bf16" else torch.bfloat16}


def test_a_finished_run_is_not_trained_again(text: Path, tmp_path: Path, witness: Witness):
    run, result = do(dropout(text), tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert trained(job(dropout(text), STEPS), run) == result
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before
    assert witness.seen == ["before, running", "after, finished"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_the_step_and_the_run_goes_on_bit_for_bit(
    text: Path, tmp_path: Path, witness: Witness, number: int
):
    undisturbed, _ = do(dropout(text), tmp_path / "undisturbed")
    witness.seen.clear()
    witness.act = {7: lambda module: os.kill(os.getpid(), number)}
    before = signal.getsignal(number)
    with pytest.raises(Interrupted):
        do(dropout(text), tmp_path / "run")
    assert signal.getsignal(number) is before
    run = RunDir(tmp_path / "run")
    assert run.state() == "interrupted"
    assert run.checkpoints()[-1][0] == 7
    assert witness.seen == ["before, running", "Interrupted, interrupted"]
    witness.act = {}
    trained(job(dropout(text), STEPS), run)
    assert run.state() == "finished"
    assert run.manifest()["reason"] == ""
    assert_same_bits(run, undisturbed)
    assert rows(run) == rows(undisturbed)


def test_a_second_ctrl_c_stops_at_once(text: Path, tmp_path: Path, witness: Witness):
    def twice(module: Any) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    witness.act = {7: twice}
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="SIGINT"):
        do(dropout(text), tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before
    run = RunDir(tmp_path / "run")
    assert run.state() == "interrupted"
    assert run.checkpoints()[-1][0] == 6


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    text: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    undisturbed, result = do(dropout(text), tmp_path / "undisturbed")
    run, _ = do(dropout(text), tmp_path / "run")
    newest = run.checkpoints()[-1][1] / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\0\0")
    again = trained(job(dropout(text), STEPS), run)
    assert "step-00000012 is damaged" in caplog.text
    assert "step 9" in caplog.text
    assert again["held_out_loss"] == result["held_out_loss"]
    assert_same_bits(run, undisturbed)
    assert rows(run) == rows(undisturbed)


def test_killed_after_the_last_checkpoint_only_the_evaluation_is_left(text: Path, tmp_path: Path):
    run, result = do(dropout(text), tmp_path / "run")
    run.update_manifest(state="running", result=None)
    again = trained(job(dropout(text), STEPS), run)
    assert again == result
    assert run.state() == "finished"


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    text: Path, tmp_path: Path, witness: Witness
):
    def spoil(module: Any) -> None:
        next(module.model.parameters()).data.fill_(float("nan"))

    witness.act = {7: spoil}
    with pytest.raises(RunFailed, match=r"not finite at step 8\. The last good checkpoint is .*step-00000006"):
        do(dropout(text), tmp_path / "run")
    run = RunDir(tmp_path / "run")
    assert run.state() == "failed"
    assert "not finite at step 8" in run.manifest()["reason"]
    assert [step for step, _ in run.checkpoints()] == [3, 6]
    assert witness.seen == ["before, running", "RunFailed, failed"]
    json.dumps(run.metrics(), allow_nan=False)


def test_load_model_gives_what_was_trained(text: Path, tmp_path: Path):
    run, _ = do(dropout(text), tmp_path / "run")
    model, loaded, tokenizer = load_model(run)
    assert loaded == dropout(text)
    assert tokenizer.decode(tokenizer.encode("alpha beta")) == "alpha beta"
    assert not model.training
    weights = load_file(run.checkpoint(STEPS) / "model.safetensors")
    assert all(torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters())
    earlier, _, _ = load_model(run, step=9)
    assert not torch.equal(next(earlier.parameters()), next(model.parameters()))
    with pytest.raises(UserError, match=r"no whole checkpoint at step 5\. Whole are: 9, 12\."):
        load_model(run, step=5)


def test_a_run_on_one_device_leads_whatever_the_environment_says(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Containers of clusters set these for a program of many processes, which this is not."""
    for name, value in {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    of = config(text)
    run = run_dir(tmp_path / "run", of)
    assert trained(job(of, 4), run)["steps"] == 4
    assert run.state() == "finished"


def test_a_gpu_that_is_not_there_is_refused_in_a_sentence(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"trainer\.accelerator=gpu"):
        do(config(text, trainer={"accelerator": "gpu"}), tmp_path / "run")
