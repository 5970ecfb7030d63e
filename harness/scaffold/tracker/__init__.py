"""A CSV file in the run's folder: a line for each number."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import hookimpl
from harness.interfaces.tracker import Tracker, TrackerConfig, figures

if TYPE_CHECKING:
    from harness.rundir import RunDir

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(TrackerConfig):
    """runs/<id>/mine.csv, for spreadsheets: step, name, value."""

    def build(self, run: RunDir, config: Mapping[str, Any]) -> Tracker:
        return MineTracker(run.path / "mine.csv")


class MineTracker:
    """Lines are added behind those of an earlier attempt; of a step that comes again the last ones count."""

    def __init__(self, path: Path) -> None:
        self.path, self.step = path, 0

    def log(self, row: Mapping[str, Any]) -> None:
        self.step = row["step"]
        self._write(figures(row))

    def close(self, result: Mapping[str, Any] | None) -> None:
        """The result stands at the last step."""
        self._write({f"result/{name}": value for name, value in figures(result or {}).items()})

    def _write(self, values: Mapping[str, float]) -> None:
        is_new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            lines = csv.writer(file)
            if is_new:
                lines.writerow(["step", "name", "value"])
            lines.writerows([self.step, name, value] for name, value in values.items())


@hookimpl
def register_tracker() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.tracker.conf"]
