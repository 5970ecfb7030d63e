"""Rows to W&B."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.interfaces.tracker import figures, texts
from harness.rundir import RunDir

if TYPE_CHECKING:
    from harness_plugins.tracker.wandb import WandbConfig


class Wandb:
    """Each number under its name, over the run's own steps, so that W&B's count of calls plays no part."""

    def __init__(self, asked: WandbConfig, run: RunDir, config: Mapping[str, Any]) -> None:
        import wandb

        quiet = wandb.Settings(
            silent=True, console="off", init_timeout=asked.patience, finish_timeout=asked.patience,
            finish_timeout_raises=True,
        )  # fmt: skip
        mode: Any = asked.chosen_mode
        folder = run.path.resolve()  # W&B's service lives on in the folder that it was started in
        self.run = wandb.init(
            project=asked.project, entity=asked.entity, group=asked.group, id=run.id, name=run.id, dir=folder,
            config=dict(config), mode=mode, resume="allow", reinit="create_new", settings=quiet,
        )  # fmt: skip
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")
        #: The last step that is there already, from an earlier attempt or an earlier sync.
        self.known = int(self.run.summary.get("step", -1)) if self.run.resumed else -1

    def log(self, row: Mapping[str, Any]) -> None:
        if row["step"] > self.known:
            self.run.log({"step": row["step"], **figures(row), **texts(row)})

    def close(self, result: Mapping[str, Any] | None) -> None:
        self.run.summary.update({f"result/{name}": value for name, value in (result or {}).items()})
        self.run.finish(exit_code=0 if result else 1)
