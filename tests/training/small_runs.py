"""Small runs of real parts, for tests."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from harness.config import from_mapping, to_mapping
from harness.data.dataset import prepare
from harness.files import write_json
from harness.models.counting import account
from harness.planning.trained import training_flops
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.training.job import TrainingJob
from harness.training.train import train

ARCHITECTURE = {
    "name": "transformer", "width": 16, "layers": 2, "attention": {"name": "multi_head", "heads": 2},
    "position": "rotary", "feedforward": "gated", "norm": "rmsnorm", "head": "language_model",
}  # fmt: skip


def write_text(folder: Path, documents: int = 40) -> Path:
    """A corpus of documents of random words."""
    words, rng = ["alpha", "beta", "gamma", "delta", "epsilon", "\n"], random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(documents):
        text = " ".join(rng.choice(words) for _ in range(rng.randint(20, 60)))
        (folder / f"{number:03d}.txt").write_text(text)
    return folder


def config(text: Path, **changes: Any) -> RunConfig:
    """A run of one micro-batch of 4 sequences of 16 bytes. changes: sections or groups, merged one level deep."""
    values: dict[str, Any] = {
        "corpus": {"name": "text", "path": str(text)},
        "tokenizer": {"name": "bytes"},
        "data": {"sequence_length": 16, "batch_size": 4, "held_out": 0.2},
        "architecture": ARCHITECTURE,
        "method": {"name": "clm"},
        "optimizer": {"name": "adamw", "lr": 0.01},
        "schedule": {"name": "cosine"},
        "trainer": {"accelerator": "cpu", "log_every": 5},
    }
    for name, change in changes.items():
        values[name] = {**values.get(name, {}), **change} if isinstance(change, dict) else change
    return from_mapping(RunConfig, values).with_seeds()


def job(run_config: RunConfig, steps: int) -> TrainingJob:
    dataset = prepare(run_config)
    vocabulary = dataset.tokenizer.size
    model = account(run_config.architecture, vocabulary, run_config.data.sequence_length)
    own = training_flops(run_config, vocabulary, model)
    return TrainingJob(run_config, steps, dataset, vocabulary, model.forward_flops, own)


def run_dir(path: Path, run_config: RunConfig) -> RunDir:
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / "config.json", to_mapping(run_config))
    return RunDir(path)


def trained(job: TrainingJob, run: RunDir) -> dict[str, Any]:
    """Trains a run as a launcher does, with the lease in hand."""
    with run.lease() as held:
        return train(job, held, progress=False)
