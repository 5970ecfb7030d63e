"""Loss spikes and divergence: found always; a batch that makes one can be left out, or the run rolled back."""

from __future__ import annotations

import math
import statistics
from collections import deque
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from harness.errors import RunFailed
from harness.rundir import RunDir
from harness.schema import WatchConfig
from harness.training.recorder import Recorder

#: Steps that a new one is compared with, and how many there must be.
WINDOW, ENOUGH = 64, 16

#: Returns to one checkpoint after which the trouble is not in a batch.
MOST_RETURNS = 10

#: Of a normal distribution, the standard deviation in median absolute deviations.
TO_STANDARD = 1.4826


class RolledBack(Exception):
    """Ends an attempt to go on: the run returns to its last checkpoint and leaves a step of the stream out."""

    def __init__(self, step: int, left_out: int) -> None:
        super().__init__(f"rolled back from step {step}")
        self.step, self.left_out = step, left_out


class Window:
    """The last finite values of one quantity, and how far a new one stands above them. Those of batches that were left
    out are among them: where it is not the batch that is at fault but what the model has come to, the median follows,
    and training goes on."""

    def __init__(self, values: list[float] | None = None, left_out: list[bool] | None = None) -> None:
        self.values: deque[float] = deque(values or [], maxlen=WINDOW)
        self.left_out: deque[bool] = deque(left_out or [False] * len(self.values), maxlen=WINDOW)

    def append(self, value: float, left_out: bool = False) -> None:
        if math.isfinite(value):
            self.values.append(value)
            self.left_out.append(left_out)

    def above(self, value: float) -> float:
        """In robust standard deviations above the median; infinite for what is not finite, 0 where little is known or
        it is no higher than one that was trained on."""
        if not math.isfinite(value):
            return math.inf
        trained = (v for v, out in zip(self.values, self.left_out, strict=True) if not out)
        if len(self.values) < ENOUGH or value <= max(trained, default=-math.inf):
            return 0.0
        median, deviation = self.location()
        return (value - median) / deviation

    def location(self) -> tuple[float, float]:
        """Median and robust standard deviation (Huber 1981, section 5.1), the latter at least 0.1 % of the median."""
        median = statistics.median(self.values)
        spread = statistics.median(abs(value - median) for value in self.values)
        return median, max(TO_STANDARD * spread, 1e-3 * abs(median), 1e-12)


class Spikes(Callback):
    """A spike: a loss or gradient norm above all that was trained on in the last `WINDOW` steps and more than
    `watch.spike` deviations above their median. Divergence: the median itself has risen so far above its lowest; it is
    told once.

    With on_spike=record values are looked at when they are read anyway; otherwise at each step, before the update, and
    a loss that is not finite is a spike like any other.
    """

    def __init__(self, watch: WatchConfig, run: RunDir, recorder: Recorder) -> None:
        self.watch, self.run = watch, run
        self.windows = {"loss": Window(), "grad_norm": Window()}
        self.lowest: tuple[float, float] | None = None  #: lowest median of the loss, with its deviation
        self.diverged = False
        self.acts = watch.on_spike != "record"
        if not self.acts:
            recorder.see = self.see

    def state_dict(self) -> dict[str, Any]:
        windows = {name: [list(window.values), list(window.left_out)] for name, window in self.windows.items()}
        return {"windows": windows, "lowest": self.lowest, "diverged": self.diverged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.windows = {name: Window(*window) for name, window in state_dict["windows"].items()}
        self.lowest = tuple(state_dict["lowest"]) if state_dict["lowest"] else None
        self.diverged = state_dict["diverged"]

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self.acts:
            pl_module.guards.append(self.guard)

    def guard(self, loop: Any, loss: torch.Tensor, norm: torch.Tensor) -> bool:
        """Whether the batch is to be left out."""
        total, norms = loop.world.total([float(loss), float(norm)])  # equal on all ranks, and so is the verdict
        step = loop.trainer.global_step + 1
        if not self.see(
            step, total, norms / loop.world.data_size, {"left_out": loop.position - 1, "action": self.watch.on_spike}
        ):
            return False
        if self.watch.on_spike == "roll_back":
            raise RolledBack(step, loop.position - 1)
        return True

    def see(self, step: int, loss: float, norm: float, more: dict[str, Any] | None = None) -> bool:
        """Whether a step is a spike. more: what its row says besides."""
        values = {"loss": loss, "grad_norm": norm}
        above = {name: window.above(values[name]) for name, window in self.windows.items()}
        spike = max(above.values()) > self.watch.spike
        if spike:
            told = {f"spike_{name}": value if math.isfinite(value) else str(value) for name, value in values.items()}
            deviations = {name: round(value, 1) for name, value in above.items() if math.isfinite(value)}
            row = {"step": step - bool(more), "event": "spike", **told, "deviations": deviations, **(more or {})}
            self.run.append_metrics([row])
        for name, window in self.windows.items():
            window.append(values[name], left_out=spike and self.acts)
        if not spike or not self.acts:
            self._look_for_divergence(step)
        return spike

    def _look_for_divergence(self, step: int) -> None:
        losses = self.windows["loss"]
        if step % ENOUGH or len(losses.values) < WINDOW or self.diverged:
            return
        median, deviation = losses.location()
        if self.lowest is None or median < self.lowest[0]:
            self.lowest = median, deviation
        self.diverged = median > self.lowest[0] + self.watch.spike * self.lowest[1]
        if self.diverged:
            row = {"step": step, "event": "divergence", "median_loss": median, "lowest_median_loss": self.lowest[0]}
            self.run.append_metrics([row])


def returned(run: RunDir, start: tuple[int, Path] | None, back: RolledBack, times: int) -> tuple[int, Path] | None:
    """The checkpoint that a run returns to (None: it has none of its own), with a row that says so. start: where the
    attempt began that found the spike, after so many returns.

    Raises RunFailed where every way on from a checkpoint is a spike.
    """
    last = run.last_whole_checkpoint()
    step = last[0] if last else 0
    if times > MOST_RETURNS and (start[0] if start else 0) >= step:
        raise RunFailed(
            f"Run {run.id}: {times} spikes were left out, and the way on from step {step} meets another. The "
            "trouble is not in single batches: a lower optimizer.lr, a longer schedule.warmup or a larger watch.spike "
            f"may help. What was reached at step {step} is kept."
        )
    run.forget_metrics_after(step)
    row = {"step": step, "event": "rolled_back", "from_step": back.step, "left_out": back.left_out}
    run.append_metrics([row])
    return last
