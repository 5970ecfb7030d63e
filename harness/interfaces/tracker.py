"""Trackers: where a run's metrics are sent, beside metrics.jsonl, which stays the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.config import PluginConfig

if TYPE_CHECKING:
    from harness.rundir import RunDir


class Tracker(Protocol):
    """What `TrackerConfig.build` returns. What it raises never ends a run: it is said once, and the tracker is left."""

    def log(self, row: Mapping[str, Any]) -> None:
        """A row of metrics.jsonl. Its `step` only grows, except that rows after a restart may repeat."""
        ...

    def close(self, result: Mapping[str, Any] | None) -> None:
        """The end; result: the manifest's, where the run has ended well."""
        ...


@dataclass(kw_only=True)
class TrackerConfig(PluginConfig):
    """Base of every tracker's Config."""

    def build(self, run: RunDir, config: Mapping[str, Any]) -> Tracker:
        """config: the run's, as plain values. The tracker goes on where an earlier attempt of the run stopped."""
        raise NotImplementedError
