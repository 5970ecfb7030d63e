"""Trackers: where a run's metrics are sent, beside metrics.jsonl, which stays the record."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.config import PluginConfig
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.rundir import RunDir


class Tracker(Protocol):
    """What `TrackerConfig.build` returns. What it raises never ends a run: it is said once, and the tracker is left."""

    def log(self, row: Mapping[str, Any]) -> None:
        """A row of metrics.jsonl: `step`, and the loss with its figures or an `event` with what was found. Steps grow,
        except that those after a restart or a roll-back may repeat."""
        ...

    def close(self, result: Mapping[str, Any] | None) -> None:
        """The end; result: the manifest's, where the run has ended well."""
        ...


@dataclass(kw_only=True)
class TrackerConfig(PluginConfig):
    """Base of every tracker's Config."""

    def require(self) -> None:
        """Raises UserError where the tracker cannot work here, before anything is started."""

    def require_package(self, package: str) -> None:
        """Raises UserError where a package is missing that is an extra of ours, under the tracker's name."""
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"tracker={self.name} needs the package {package}, which is not installed: "
                f"pip install 'harness-lm[{self.name}]', or leave tracker= out."
            )

    def build(self, run: RunDir, config: Mapping[str, Any]) -> Tracker:
        """config: the run's, as plain values. The tracker goes on where an earlier attempt of the run stopped."""
        raise NotImplementedError


def figures(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row by name, but for its step; those of an event under the event's name.

    >>> figures({"step": 5, "loss": 3.2})
    {'loss': 3.2}
    >>> figures({"step": 5, "event": "norms", "grad_norms": {"head": 0.5}})
    {'norms/grad_norms/head': 0.5}
    """
    return {name: float(value) for name, value in _leaves(row) if isinstance(value, (int, float))}


def texts(row: Mapping[str, Any]) -> dict[str, str]:
    """The texts of an event's row by name.

    >>> texts({"step": 5, "event": "sample", "prompt": "", "text": "It was"})
    {'sample/prompt': '', 'sample/text': 'It was'}
    """
    return {name: value for name, value in _leaves(row) if isinstance(value, str)} if "event" in row else {}


def _leaves(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    prefix = f"{row['event']}/" if "event" in row else ""
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from ((f"{prefix}{key}/{name}", leaf) for name, leaf in _leaves(value))
        elif key not in ("step", "event"):
            yield f"{prefix}{key}", value
