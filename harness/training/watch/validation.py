"""The held-out loss while a run trains, and its early end where that gets no better."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Callback, Trainer

from harness.rundir import RunDir
from harness.schema import WatchConfig
from harness.training.held_out import evaluate
from harness.training.job import TrainingJob
from harness.training.recorder import Recorder


class Validation(Callback):
    """Every so many steps a row with the held-out loss, of the sequences that the run is judged by at its end.

    It acts before a checkpoint is written: a validation that a kill prevents is done again.
    """

    def __init__(self, watch: WatchConfig, job: TrainingJob, run: RunDir, recorder: Recorder) -> None:
        self.watch, self.job, self.run, self.recorder = watch, job, run, recorder
        self.best, self.worse = math.inf, 0  #: the lowest loss, and the validations since

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best if math.isfinite(self.best) else None, "worse": self.worse}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = math.inf if state_dict["best"] is None else state_dict["best"]
        self.worse = state_dict["worse"]

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        continued = self.job.parents.get("continue")
        if continued and continued.step == trainer.global_step:
            self.best, self.worse = math.inf, 0  # the patience of a run is its own: its parent may have run out of it
        self._end_if_it_gets_no_better(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if not pl_module.stepped or step % (self.watch.validate_every or 1):
            return
        with self.recorder.aside():
            found = evaluate(pl_module.model, pl_module.method, self.job, lambda: None)
            found = pl_module.world.gather(found)[0]  # a last bit that differs must not part the ranks
            pl_module.model.train()
        self.run.append_metrics([{"step": step, "event": "validation", **found}])
        loss = found["held_out_loss"]
        if loss is None:
            return
        better = loss < self.best
        self.best, self.worse = (loss, 0) if better else (self.best, self.worse + 1)
        self._end_if_it_gets_no_better(trainer, pl_module)

    def _end_if_it_gets_no_better(self, trainer: Trainer, loop: Any) -> None:
        if self.watch.patience is not None and self.worse >= self.watch.patience:
            loop.steps = trainer.global_step  # for all who act at the last step
            trainer.should_stop = True
