"""What a run says of itself while it trains: metrics.jsonl, the progress bar, and that its loss is finite."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from harness.rundir import RunDir
from harness.training.checkpoints import not_finite
from harness.training.job import TrainingJob
from harness.training.loop import Loop
from harness.training.peak import Peak
from harness.training.progress import Progress


class Recorder(Callback):
    """Writes a row every `log_every` steps and at the last: step, tokens, loss (mean in nats since the row before),
    lr (of this step, for parameters without a share of their own), grad_norm (of this step, before clipping),
    tokens_per_second and mfu (since the row before), seconds (of training, over all restarts, a trunk's included), and
    what the method tells (mean since the row before).

    It keeps losses and what was told since the last row in the checkpoint, so that rows do not depend on interruptions.
    """

    def __init__(self, job: TrainingJob, run: RunDir, progress: Progress, peak: Peak) -> None:
        self.job, self.run, self.progress, self.peak = job, run, progress, peak
        self.losses: list[float] = []
        self.figures: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._start = self._row_at = 0.0
        self._row_step = 0
        self.see: Callable[[int, float, float], object] = lambda step, loss, norm: None  #: is told of every step

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses, "figures": self.figures, "seconds": self._elapsed()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.losses, self.seconds = state_dict["losses"], state_dict["seconds"]
        self.figures = state_dict.get("figures", {})

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._start = self._row_at = time.perf_counter()
        self._row_step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        config = self.job.config
        if not pl_module.stepped or (step % config.trainer.log_every and step != pl_module.steps):
            return
        norm = self.read(pl_module, step)
        now = time.perf_counter()
        rate = (self.job.tokens(step) - self.job.tokens(self._row_step)) / (now - self._row_at)
        self._row_at, self._row_step = now, step
        row = {
            "step": step,
            "tokens": self.job.tokens(step),
            "loss": math.fsum(self.losses) / len(self.losses),
            "lr": config.optimizer.lr * pl_module.schedule.factor(step - 1, self.job.steps),
            "grad_norm": norm,
            "tokens_per_second": rate,
            "mfu": self.job.training_flops * rate / self.peak.flops,
            "seconds": self._elapsed(),
            **{name: math.fsum(values) / len(values) for name, values in self.figures.items()},
        }
        self.losses, self.figures = [], {}
        self.run.append_metrics([row])
        self.progress.show(row)

    def read(self, loop: Loop, step: int) -> float:
        """Takes over what the loop has kept as tensors; returns the last gradient's norm.
        Raises RunFailed where a loss or a norm is not finite."""
        if not loop.losses:
            return math.nan
        losses, norms = torch.stack([torch.stack(loop.losses), torch.stack(loop.norms)]).tolist()
        losses = loop.world.total(losses)
        self._take_figures(loop)
        loop.losses.clear()
        loop.norms.clear()
        for k, pair in enumerate(zip(losses, norms, strict=True)):
            if not all(map(math.isfinite, pair)):
                raise not_finite(self.run, step - len(losses) + 1 + k)
            self.see(step - len(losses) + 1 + k, *pair)
        self.losses += losses
        return norms[-1]

    def _take_figures(self, loop: Loop) -> None:
        if loop.figures:
            by_name = torch.stack(loop.figures).T.tolist()
            for name, values in zip(loop.told, by_name, strict=True):
                self.figures[name] = self.figures.get(name, []) + loop.world.total(values)
            loop.figures.clear()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What is done in the block is no training: its time is not counted."""
        begun = time.perf_counter()
        yield
        passed = time.perf_counter() - begun
        self._start += passed
        self._row_at += passed

    def _elapsed(self) -> float:
        return self.seconds + (time.perf_counter() - self._start if self._start else 0.0)
