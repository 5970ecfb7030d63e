"""Which of the conditions of a study has the lowest loss, and whether its seeds can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness import hookimpl
from harness.config import option
from harness.interfaces.analysis import AnalysisConfig, Finding, Point

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(AnalysisConfig):
    """The lowest mean loss among runs of the largest size and budget, against the next one's."""

    errors: float = option(2.0, "standard errors of the difference from which on it is said to be one", minimum=0.0)

    def analyse(self, points: Sequence[Point]) -> Finding:
        from harness.scaffold.analysis.idea import analyse

        return analyse(self.errors, points)


@hookimpl
def register_analysis() -> dict[str, type]:
    return {"mine": MineConfig}
