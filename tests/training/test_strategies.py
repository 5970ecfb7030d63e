"""One run, spread over processes in every way: the same losses, and checkpoints that all of them read."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_runs import config, job, run_dir

from harness.launch.ranks import together
from harness.rundir import RunDir
from harness.schema import RunConfig, WatchConfig
from harness.training.job import TrainingJob
from harness.training.train import load_model, train

pytestmark = pytest.mark.slow

STEPS, SAVED_AT = 50, 25

LAYOUTS: dict[str, dict[str, Any]] = {
    "one": {},
    "ddp": {"devices": 2},
    "fsdp": {"devices": 2, "strategy": "fsdp"},
    "tensor": {"devices": 2, "tensor_parallel": 2},
    "fsdp_and_tensor": {"devices": 4, "tensor_parallel": 2, "strategy": "fsdp"},
}

#: Of float32 sums whose order differs.
CLOSE = {"rel": 0, "abs": 1e-5}


def layout(text: Path, name: str) -> RunConfig:
    """Grouped heads, tied embeddings, a batch of two micro-batches in one process."""
    attention = {"name": "multi_head", "heads": 4, "key_value_heads": 2}
    trainer = {"log_every": 1, "checkpoints": 2, "micro_batch": 2, **LAYOUTS[name]}
    return config(text, architecture={"attention": attention}, data={"batch_size": 8}, trainer=trainer)


def carry_out(of: TrainingJob, run: RunDir) -> None:
    with run.lease() as held:
        devices = of.config.trainer.devices
        if devices == 1:
            train(of, held, progress=False)
        else:
            together(devices, lambda rank: train(of, held, progress=False))


@pytest.fixture(scope="module", params=LAYOUTS)
def finished(request: pytest.FixtureRequest, text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    import harness.training.fit  # noqa: F401

    of = layout(text, request.param)
    run = run_dir(tmp_path_factory.mktemp("layouts") / request.param, of)
    carry_out(job(of, STEPS), run)
    return run


@pytest.fixture(scope="module")
def reference(text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """One process, one micro-batch, nothing shared."""
    of = config(
        text,
        architecture={"attention": {"name": "multi_head", "heads": 4, "key_value_heads": 2}},
        data={"batch_size": 8},
        trainer={"log_every": 1},
    )
    run = run_dir(tmp_path_factory.mktemp("reference") / "run", of)
    carry_out(job(of, STEPS), run)
    return run


def column(run: RunDir, name: str, after: int = 0) -> list[float]:
    return [row[name] for row in run.metrics() if row["step"] > after]


def test_losses_and_gradient_norms_are_those_of_one_process(finished: RunDir, reference: RunDir):
    assert len(column(finished, "loss")) == STEPS
    for name in ("loss", "grad_norm"):
        assert column(finished, name) == pytest.approx(column(reference, name), **CLOSE)
    ours, theirs = (run.manifest()["result"] for run in (finished, reference))
    assert ours["held_out_loss"] == pytest.approx(theirs["held_out_loss"], **CLOSE)
    assert ours["tokens"] == theirs["tokens"]


@pytest.mark.parametrize("other", LAYOUTS)
def test_a_checkpoint_is_trained_on_under_every_other_layout(
    finished: RunDir, reference: RunDir, other: str, text: Path, tmp_path: Path
):
    run = RunDir(tmp_path / "run")
    shutil.copytree(finished.path, run.path)
    shutil.rmtree(run.checkpoint(STEPS))
    run.update_manifest(state="running")
    carry_out(job(layout(text, other), STEPS), run)
    assert [attempt["from_step"] for attempt in run.manifest()["attempts"]][-1] == SAVED_AT
    assert column(run, "loss") == pytest.approx(column(reference, "loss"), **CLOSE)


def test_every_checkpoint_is_read_whole_by_one_process(finished: RunDir):
    model, _, _ = load_model(finished, SAVED_AT)
    assert sum(parameter.numel() for parameter in model.parameters()) > 0
    files = sorted(file.name for file in finished.checkpoint(SAVED_AT).iterdir())
    assert all(file.endswith((".safetensors", ".json")) for file in files)
    index = finished.checkpoint(SAVED_AT) / "model.index.json"
    if index.exists():
        parts = [part for entry in json.loads(index.read_text())["tensors"].values() for part in entry["parts"]]
        assert len({part["file"] for part in parts}) > 1, "each rank has written its own"


@pytest.mark.parametrize(
    ("name", "saving"),
    [
        ("fsdp_and_tensor", {"activation_checkpointing": "blocks"}),
        ("fsdp", {"activation_checkpointing": "selective"}),
        ("ddp", {"activation_checkpointing": "blocks", "compile": True}),
    ],
)
def test_saving_memory_changes_no_loss_under_any_layout(
    name: str, saving: dict[str, Any], reference: RunDir, text: Path, tmp_path: Path
):
    of = layout(text, name)
    of = replace(of, trainer=replace(of.trainer, **saving), method=replace(of.method, logits_chunk=8))
    run = run_dir(tmp_path / "run", of)
    carry_out(job(of, STEPS), run)
    assert column(run, "loss") == pytest.approx(column(reference, "loss"), **CLOSE)


def test_what_is_watched_is_the_same_when_the_model_is_spread(text: Path, tmp_path: Path):
    watch = WatchConfig(norms_every=4, activations_every=4, validate_every=4, sample_every=4, sample_tokens=6)
    runs = []
    for name in ("one", "fsdp_and_tensor"):
        of = replace(layout(text, name), watch=watch)
        runs.append(run_dir(tmp_path / name, of))
        carry_out(job(of, 4), runs[-1])
    one, spread = ({row["event"]: row for row in run.events()} for run in runs)
    assert one.keys() == spread.keys() == {"norms", "activations", "validation", "sample"}
    for kind in ("grad_norms", "weight_norms", "update_norms"):
        assert spread["norms"][kind] == pytest.approx(one["norms"][kind], rel=1e-3)
    assert spread["validation"]["held_out_loss"] == pytest.approx(one["validation"]["held_out_loss"], **CLOSE)
    assert spread["sample"] == one["sample"]
