"""Ladders drawn from laws that are known, and which of an analysis's intervals hold the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.interfaces.analysis import AnalysisConfig, Point

Loss = Callable[[float, float], float]


@dataclass(frozen=True)
class Joint:
    """L(N, D) = E + A/N^α + B/D^β."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def __call__(self, N: float, D: float) -> float:
        return self.E + self.A / N**self.alpha + self.B / D**self.beta


@dataclass(frozen=True)
class AtEachBudget:
    """L(N) = E + (level − E)·(N / centre)^−α with a level and an exponent for each budget."""

    centre: float
    levels: dict[float, float]
    exponents: dict[float, float]
    E: float = 0.0

    def __call__(self, N: float, D: float) -> float:
        return self.E + (self.levels[D] - self.E) * (N / self.centre) ** -self.exponents[D]


@dataclass(frozen=True)
class Ladder:
    """A design and its true law. seeds: runs of each size at each budget. noise: of the seeds, in nats."""

    name: str
    sizes: tuple[float, ...]
    budgets: tuple[float, ...]
    seeds: tuple[int, ...]
    law: Joint | AtEachBudget
    noise: float

    def draw(self, rng: np.random.Generator) -> list[Point]:
        return [
            Point(N, D, self.law(N, D) + float(rng.normal(0, self.noise)), seed=seed)
            for D, seeds in zip(self.budgets, self.seeds, strict=True)
            for N in self.sizes
            for seed in range(seeds)
        ]


def spaced(least: float, most: float, count: int) -> tuple[float, ...]:
    return tuple(np.geomspace(least, most, count).tolist())


RUNGS, BUDGETS = (7.0e3, 25e3, 83e3, 195e3), (0.5e6, 1e6, 2e6)
#: The additive law nearest to what the quickstart's ladder reaches; its E is small, its exponent in N far from β.
NEAR = Joint(0.56, 6.0, 0.11, 270.0, 0.416)
#: Losses of the same size whose E is most of them.
FLOOR = Joint(1.5, 14.0, 0.22, 1500.0, 0.55)
#: Hoffmann et al. 2022.
CHINCHILLA = Joint(1.69, 406.4, 0.34, 410.7, 0.28)
#: Level and exponent at each budget of the quickstart's ladder.
FALLING = AtEachBudget(
    37e3,
    levels=dict(zip(BUDGETS, (3.54, 3.31, 3.13), strict=True)),
    exponents=dict(zip(BUDGETS, (0.039, 0.0625, 0.077), strict=True)),
)
LEVELLING = AtEachBudget(37e3, FALLING.levels, dict.fromkeys(BUDGETS, 0.2), E=2.0)


def quickstart(law: Joint | AtEachBudget, noise: float, name: str) -> Ladder:
    """4 rungs × 3 budgets, the least with a second seed."""
    return Ladder(f"quickstart, {name}", RUNGS, BUDGETS, (2, 1, 1), law, noise)


JOINT = [
    *(quickstart(NEAR, noise, "E small") for noise in (0.01, 0.02)),
    quickstart(FLOOR, 0.02, "E large"),
    Ladder("4 × 3 to 1 B", spaced(1e7, 1e9, 4), spaced(2e8, 2e10, 3), (2, 1, 1), CHINCHILLA, 0.02),
    Ladder("6 × 4 to 1 B", spaced(1e7, 1e9, 6), spaced(2e8, 2e10, 4), (1, 1, 1, 1), CHINCHILLA, 0.01),
]
FIXED_BUDGET = [
    *(quickstart(FALLING, noise, "straight") for noise in (0.01, 0.02)),
    Ladder("6 × 3, straight", spaced(7e3, 195e3, 6), BUDGETS, (1, 1, 1), FALLING, 0.01),
    Ladder("9 × 3, levelling off", spaced(1e3, 1e6, 9), BUDGETS, (1, 1, 1), LEVELLING, 0.01),
]


def joint_covers(analysis: AnalysisConfig, ladder: Ladder, rng: np.random.Generator) -> dict[str, bool]:
    """Of one drawn ladder: whether the intervals of α and β hold the truth, and that of the largest rung at the
    largest budget the loss that was drawn there; empty where the analysis finds too little."""
    finding = analysis.analyse(ladder.draw(rng))
    if finding.verdict != "ok":
        return {}
    rows = finding.values["parameters"]
    return {
        "α": rows["alpha"]["low"] <= ladder.law.alpha <= rows["alpha"]["high"],
        "β": rows["beta"]["low"] <= ladder.law.beta <= rows["beta"]["high"],
        "left out": finding.tables["left out"][-1]["inside"],
    }


def fixed_budget_covers(analysis: AnalysisConfig, ladder: Ladder, rng: np.random.Generator) -> dict[str, bool]:
    """The same for the power law at the largest budget; the budgets share their scatter."""
    finding = analysis.analyse(ladder.draw(rng))
    curve = finding.values["sizes"]["curves"][-1]
    return {
        "α": curve["low"] <= ladder.law.exponents[curve["D"]] <= curve["high"],
        "left out": finding.tables["left out"][-1]["inside"],
    }
