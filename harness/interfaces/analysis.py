"""Analyses: the table of a study to a finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.config import PluginConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """One trained model as a law sees it. N and D in numbers; C in FLOPs; loss in nats per token. condition: what is
    varied in it besides its size, its budget and its seeds."""

    N: float
    D: float
    loss: float
    C: float = float("nan")
    seed: int = 0
    run: str = ""
    condition: str = ""


@dataclass
class Drawing:
    """A figure and what it shows in one sentence. `draw()` makes a matplotlib Figure."""

    title: str
    caption: str
    draw: Any

    def figure(self) -> Figure:
        return self.draw()


@dataclass
class Finding:
    """What the evidence supports.

    verdict: ``ok``, or ``not enough data``. sentences: what was found, for people, first the most
    important. values: the same for programs, JSON-ready. tables: name → rows. drawings: figures.
    """

    analysis: str
    verdict: str
    sentences: list[str]
    values: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    drawings: list[Drawing] = field(default_factory=list)


@dataclass(kw_only=True)
class AnalysisConfig(PluginConfig):
    def analyse(self, points: Sequence[Point]) -> Finding:
        """Deterministic: every random choice comes from a seed among its options."""
        raise NotImplementedError
