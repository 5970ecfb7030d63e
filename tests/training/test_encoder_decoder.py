"""An encoder–decoder in the training loop: both of its stacks, however the run is cut, spread, compiled or stopped."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir, trained

from harness.launch.ranks import together
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.training.train import train

STEPS = 12

KINDS: dict[str, dict[str, Any]] = {
    "T5": {"position": "relative_bias", "attention": {"name": "multi_head", "heads": 2, "scale": 1.0}},
    "BART": {"position": "learned", "placement": "post", "embedding_norm": True, "norm": "layernorm"},
}


def prefixed(text: Path, kind: str = "T5", trainer: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
    architecture = {"name": "encoder_decoder", "encoder_layers": 1, **KINDS[kind], **changes}
    cut = {"log_every": 1, "checkpoints": 3, **(trainer or {})}
    return config(text, architecture=architecture, method={"name": "prefix"}, data={"batch_size": 8}, trainer=cut)


def carry_out(of: RunConfig, path: Path) -> RunDir:
    run, work = run_dir(path, of), job(of, STEPS)
    if of.trainer.devices == 1:
        trained(work, run)
    else:
        with run.lease() as held:
            together(of.trainer.devices, lambda rank: train(work, held, progress=False))
    return run


def losses(run: RunDir) -> list[float]:
    return [row["loss"] for row in run.metrics()]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(kind: str, text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """One process, one micro-batch, nothing computed again."""
    return carry_out(prefixed(text, kind), tmp_path_factory.mktemp("whole") / "run")


def test_it_learns(whole: RunDir):
    assert losses(whole)[-1] < losses(whole)[0] - 0.5


@pytest.mark.parametrize(
    "trainer",
    [
        {"micro_batch": 2},
        {"activation_checkpointing": "blocks"},
        {"activation_checkpointing": "selective"},
        pytest.param({"activation_checkpointing": "blocks", "compile": True}, marks=pytest.mark.slow),
        pytest.param({"devices": 2}, marks=pytest.mark.slow),
        pytest.param(
            {"devices": 2, "strategy": "fsdp", "micro_batch": 2, "activation_checkpointing": "blocks"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_however_it_is_carried_out_the_run_is_the_same(
    trainer: dict[str, Any], whole: RunDir, kind: str, text: Path, tmp_path: Path
):
    run = carry_out(prefixed(text, kind, trainer), tmp_path / "run")
    assert losses(run) == pytest.approx(losses(whole), rel=0, abs=1e-5)


def test_stopped_and_started_again_it_ends_with_the_same_bits(
    kind: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With dropout in both stacks."""
    from harness.training.recorder import Recorder

    of = prefixed(text, kind, residual_dropout=0.2, embedding_dropout=0.1)
    whole, run, work = carry_out(of, tmp_path / "whole"), run_dir(tmp_path / "run", of), job(of, STEPS)
    plain = Recorder.on_train_batch_end

    def stop_after_five(self, trainer, *arguments):
        plain(self, trainer, *arguments)
        if trainer.global_step == 5:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_train_batch_end", stop_after_five)
        with pytest.raises(KeyboardInterrupt):
            trained(work, run)
    assert run.last_whole_checkpoint()[0] == 5
    trained(work, run)
    for name in ("model.safetensors", "optimizer.safetensors"):
        one, two = (load_file(each.checkpoint(STEPS) / name) for each in (run, whole))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in two)
    assert losses(run) == losses(whole)
