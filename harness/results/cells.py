"""Points of a ladder, averaged over seeds: what every law is fitted to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from harness.interfaces.analysis import Point


@dataclass(frozen=True)
class Cell:
    """All seeds of one size and budget. loss: their mean, nats. C: FLOPs, 6ND where none were given."""

    N: float
    D: float
    C: float
    loss: float
    seeds: int
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Noise:
    """What the seed alone changes. nats: pooled standard deviation of the loss; relative: of log loss."""

    nats: float
    relative: float
    freedom: int  #: degrees of freedom: points less cells


def finite(points: Iterable[Point]) -> tuple[list[Point], list[Point]]:
    """The points that a law can use, and those whose loss (or N, or D) is no positive number: runs that diverged."""
    used: list[Point] = []
    left: list[Point] = []
    for point in points:
        good = all(math.isfinite(value) and value > 0 for value in (point.N, point.D, point.loss))
        (used if good else left).append(point)
    return used, left


def averaged(points: Sequence[Point]) -> list[Cell]:
    """One cell for each N and D, in the order of D, then N."""
    cells = []
    for (N, D), own in _by_size(points).items():
        C = own[0].C if math.isfinite(own[0].C) else 6 * N * D
        loss = fmean(point.loss for point in own)
        cells.append(
            Cell(float(N), float(D), float(C), float(loss), len(own), tuple(point.run for point in own if point.run))
        )
    return sorted(cells, key=lambda cell: (cell.D, cell.N))


def seed_noise(points: Sequence[Point]) -> Noise | None:
    """Pooled over what differs in seeds alone: one condition, size and budget; None where there is none of that."""
    by_condition: dict[str, list[Point]] = {}
    for point in points:
        by_condition.setdefault(point.condition, []).append(point)
    groups = [own for alike in by_condition.values() for own in _by_size(alike).values() if len(own) > 1]
    freedom = sum(len(own) - 1 for own in groups)
    if not freedom:
        return None
    nats = sum(_squares([point.loss for point in own]) for own in groups)
    relative = sum(_squares([math.log(point.loss) for point in own]) for own in groups)
    return Noise(math.sqrt(nats / freedom), math.sqrt(relative / freedom), freedom)


def lower_loss(scatter: float, log_loss: float, foretold: float) -> float:
    """Variance of log L that a foretold point may have beyond `scatter`², which was seen around losses of mean
    `log_loss`: as many nats are more of a lower loss. Whether noise is so many nats or a share of the loss, a ladder
    cannot tell, so the wider is taken."""
    return scatter**2 * (math.exp(2 * max(log_loss - foretold, 0.0)) - 1)


def budgets(cells: Sequence[Cell], tolerance: float = 0.01) -> dict[float, list[Cell]]:
    """The cells of each budget D, in the order of N. Budgets rounded to whole steps count as one up to `tolerance`."""
    groups: dict[float, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.D):
        key = next((D for D in groups if 1 + tolerance >= cell.D / D), cell.D)
        groups.setdefault(key, []).append(cell)
    return {D: sorted(own, key=lambda cell: cell.N) for D, own in groups.items()}


def distinct(values: Iterable[float], tolerance: float = 0.01) -> list[float]:
    """The values that differ by more than a share of `tolerance`, ascending."""
    found: list[float] = []
    for value in sorted(values):
        if not found or value > found[-1] * (1 + tolerance):
            found.append(value)
    return found


def steps(cells: Sequence[Cell]) -> list[tuple[str, Cell, Cell]]:
    """From each cell to the next larger: along N at one D, then along D at one N."""
    lines = [("N", line) for line in budgets(cells).values()]
    by_size: dict[float, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.D):
        by_size.setdefault(cell.N, []).append(cell)
    lines += [("D", by_size[N]) for N in sorted(by_size)]
    return [(along, before, after) for along, line in lines for before, after in pairwise(line)]


def rises(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The steps along which loss does not fall, one row each."""
    return [
        {"along": along, "N": after.N, "D": after.D, "from": getattr(before, along), "rise": after.loss - before.loss}
        for along, before, after in steps(cells)
        if after.loss >= before.loss
    ]


def remarks(points: Sequence[Point], diverged: Sequence[Point], noise: Noise | None) -> list[str]:
    """What a reader of any law has to know of its points; `points` are those that it used."""
    said = []
    alike = Counter((point.N, point.D, point.seed, point.condition) for point in points if point.run)
    conditions = {point.condition for point in points}
    if len(conditions) > 1:
        said.append(
            f"The runs are of {len(conditions)} conditions, and this law is that of their mean. Fit one condition at a "
            "time."
        )
    if mixed := sum(count for count in alike.values() if count > 1):
        said.append(
            f"{mixed} runs share size, budget and seed with another, so they differ in something besides: this law "
            "averages over it and takes it for seed noise. Fit one condition at a time."
        )
    if diverged:
        names = ", ".join(point.run or f"N = {point.N:.3g}, D = {point.D:.3g}" for point in diverged)
        said.append(f"Left out, because their loss is no positive number: {names}.")
    if noise:
        within = f", within the {len(conditions)} conditions" if len(conditions) > 1 else ""
        said.append(
            f"Seeds alone move the loss by {noise.nats:.3g} nats (standard deviation, {noise.freedom} d.f.{within})."
        )
    else:
        said.append("No size was trained with more than one seed, so there is no estimate of seed noise.")
    return said


def _by_size(points: Sequence[Point]) -> dict[tuple[float, float], list[Point]]:
    groups: dict[tuple[float, float], list[Point]] = {}
    for point in points:
        groups.setdefault((point.N, point.D), []).append(point)
    return groups


def _squares(values: Sequence[float]) -> float:
    mean = fmean(values)
    return sum((value - mean) ** 2 for value in values)
