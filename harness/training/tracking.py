"""A run's rows go to its tracker as well, whose troubles are not the run's."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.config import to_mapping
from harness.interfaces.tracker import Tracker, TrackerConfig
from harness.rundir import RunDir
from harness.schema import RunConfig

log = logging.getLogger(__name__)

#: States of a run in which its tracker is told that this was the end.
ENDS = ("finished", "failed", "interrupted")


class Tracking:
    """A tracker that never raises: its first failure is said, and then it is left."""

    def __init__(self, config: TrackerConfig, run: RunDir, values: Mapping[str, Any]) -> None:
        self.name = config.name
        self.tracker: Tracker | None = None
        with self._leaving_it():
            self.tracker = config.build(run, values)

    def log(self, row: Mapping[str, Any]) -> None:
        with self._leaving_it():
            if self.tracker is not None:
                self.tracker.log(row)

    def close(self, result: Mapping[str, Any] | None) -> None:
        with self._leaving_it():
            if self.tracker is not None:
                self.tracker.close(result)
        self.tracker = None

    @contextlib.contextmanager
    def _leaving_it(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.tracker = None
            log.warning(
                "tracker=%s is left: %s. metrics.jsonl has everything; `harness sync` sends it later.",
                self.name,
                " ".join(str(error).split()).rstrip(".") or type(error).__name__,
            )


@dataclass(frozen=True)
class Tracked(RunDir):
    """A run's directory that tells a tracker of every row of metrics.jsonl, and of the run's end."""

    tracking: Tracking | None = None

    def append_metrics(self, rows: Iterable[dict[str, Any]]) -> None:
        rows = list(rows)
        super().append_metrics(rows)
        for row in rows:
            if self.tracking is not None:
                self.tracking.log(row)

    def update_manifest(self, **values: Any) -> None:
        super().update_manifest(**values)
        if self.tracking is not None and values.get("state") in ENDS:
            self.tracking.close(values.get("result"))


def tracked(config: RunConfig, run: RunDir) -> RunDir:
    """The run's directory, with its tracker beside it where the config names one."""
    if config.tracker is None:
        return run
    return Tracked(run.path, run.held, Tracking(config.tracker, run, to_mapping(config)))
