"""The joint law L(N, D) = E + A/N^α + B/D^β (Hoffmann et al. 2022, approach 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness import hookimpl
from harness.config import option
from harness.interfaces.analysis import AnalysisConfig, Finding, Point

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class ChinchillaConfig(AnalysisConfig):
    compute: float | None = option(
        None, "FLOPs for which the best N and D are sought, as 6ND; null: the most in the ladder", minimum=1.0
    )
    confidence: float = option(0.95, "confidence of all intervals", minimum=0.5, maximum=0.999)
    bootstraps: int = option(1000, "resampled ladders behind the intervals", minimum=100, maximum=100_000)
    misfit: float = option(
        0.02, "residual (root mean square, share of the loss) above which the law is said not to fit; with several "
        "seeds their noise decides instead", minimum=0.0,
    )  # fmt: skip
    seed: int = option(0, "seed of the resampling", minimum=0)

    def analyse(self, points: Sequence[Point]) -> Finding:
        from harness_plugins.analysis.chinchilla.analysis import analyse

        return analyse(self, points)


@hookimpl
def register_analysis() -> dict[str, type]:
    return {"chinchilla": ChinchillaConfig}
