"""Power laws in one variable: L(N) at fixed D, pooled over the budgets, and L(C) along the compute frontier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness import hookimpl
from harness.config import option
from harness.interfaces.analysis import AnalysisConfig, Finding, Point

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class PowerLawConfig(AnalysisConfig):
    law: str = option(
        "auto",
        "power: A/N^α; offset: E + A/N^α; auto: offset where the points can tell it from power, by an F-test",
        choices=("auto", "power", "offset"),
    )
    confidence: float = option(0.95, "confidence of all intervals", minimum=0.5, maximum=0.999)

    def analyse(self, points: Sequence[Point]) -> Finding:
        from harness_plugins.analysis.power_law.analysis import analyse

        return analyse(self, points)


@hookimpl
def register_analysis() -> dict[str, type]:
    return {"power_law": PowerLawConfig}
