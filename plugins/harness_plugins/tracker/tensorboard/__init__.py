"""TensorBoard: event files in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import hookimpl
from harness.interfaces.tracker import Tracker, TrackerConfig

if TYPE_CHECKING:
    from harness.rundir import RunDir

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class TensorBoardConfig(TrackerConfig):
    """Event files in runs/<id>/tensorboard, for `tensorboard --logdir runs`."""

    def require(self) -> None:
        self.require_package("tensorboard")

    def build(self, run: RunDir, config: Mapping[str, Any]) -> Tracker:
        from harness_plugins.tracker.tensorboard.tracker import TensorBoard

        return TensorBoard(run.path / "tensorboard", config)


@hookimpl
def register_tracker() -> dict[str, type]:
    return {"tensorboard": TensorBoardConfig}
