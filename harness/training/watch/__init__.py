"""What is watched while a run trains: one callback a file. What they find stands in metrics.jsonl as rows with an
`event`, beside the rows of the loss."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback

from harness.rundir import RunDir
from harness.training.job import TrainingJob
from harness.training.recorder import Recorder
from harness.training.watch.activations import Activations
from harness.training.watch.norms import Norms
from harness.training.watch.samples import Samples
from harness.training.watch.spikes import Spikes
from harness.training.watch.validation import Validation


def watchers(job: TrainingJob, run: RunDir, recorder: Recorder) -> list[Callback]:
    """Those that the config asks for, in the order in which they act after a step."""
    watch = job.config.watch
    found: list[Any] = [Spikes(watch, run, recorder)]
    if watch.norms_every:
        found.append(Norms(watch.norms_every, run))
    if watch.activations_every:
        found.append(Activations(watch.activations_every, run))
    if watch.validate_every:
        found.append(Validation(watch, job, run, recorder))
    if watch.sample_every:
        found.append(Samples(watch, job, run, recorder))
    return found
