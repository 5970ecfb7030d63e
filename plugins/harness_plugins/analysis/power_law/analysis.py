"""From points to the finding: L(N) at each budget, the largest rung foretold, L(C), and where loss does not fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.interfaces.analysis import Finding, Point
from harness.reports.style import size
from harness.results.cells import Cell, Noise, averaged, budgets, finite, lower_loss, remarks, rises, seed_noise, steps
from harness_plugins.analysis.power_law import PowerLawConfig
from harness_plugins.analysis.power_law.drawings import drawings
from harness_plugins.analysis.power_law.law import LEAST_POINTS, Curve, Pooled

LEAST_SPAN = 3.0  #: largest over smallest N of a curve
LEAST_FRONTIER = 4
LEAST_FRONTIER_SPAN = 10.0
SIGNIFICANCE = 0.01  #: of a bend, below which a straight line in log N is said not to fit

Row = dict[str, Any]


@dataclass(frozen=True)
class Curves:
    """L(N), one curve for each budget."""

    lines: dict[float, list[Cell]]
    pooled: Pooled

    @classmethod
    def to(cls, lines: dict[float, list[Cell]], config: PowerLawConfig) -> Curves | None:
        """None where no budget has enough sizes."""
        lines = {D: line for D, line in lines.items() if not _lacks(line)}
        if not lines:
            return None
        groups = [([cell.N for cell in line], [cell.loss for cell in line]) for line in lines.values()]
        return cls(lines, Pooled.to(groups, config.law, config.confidence))

    @property
    def by_budget(self) -> dict[float, Curve]:
        return dict(zip(self.lines, self.pooled.curves, strict=True))


@dataclass
class Part:
    """What one part of the analysis adds to the finding."""

    sentence: str
    values: Any = None
    rows: list[Row] = field(default_factory=list)


def analyse(config: PowerLawConfig, points: Sequence[Point]) -> Finding:
    used, diverged = finite(points)
    cells, noise = averaged(used), seed_noise(used)
    lines = budgets(cells)
    curves = Curves.to(lines, config)
    largest = max((cell.N for cell in cells), default=0.0)
    kept = Curves.to({D: [cell for cell in line if largest > cell.N] for D, line in lines.items()}, config)
    best = frontier(cells)
    compute = _compute_curve(best, config)
    foretold = _foretold(lines, largest, kept, noise)
    sizes, along_compute = _sizes(curves, lines), _compute(best, compute)
    falls = _falls(cells, noise)
    bend = curves.pooled.bend_chance if curves else None
    found = curves is not None or compute is not None
    return Finding(
        analysis="power_law",
        verdict="ok" if found else "not enough data",
        sentences=[part.sentence for part in _order(foretold, falls, sizes, along_compute)]
        + remarks(used, diverged, noise),
        values={
            "left_out": foretold.values,
            "sizes": sizes.values,
            "fits": None if bend is None else bend >= SIGNIFICANCE,
            "compute": along_compute.values,
            "falls_everywhere": falls.values,
            "rises": falls.rows,
            "seed_noise": noise.nats if noise else None,
            "points": len(used),
            "cells": len(cells),
            "confidence": config.confidence,
        },
        tables={
            "left out": foretold.rows,
            "L(N) at fixed D": sizes.rows,
            "compute frontier": along_compute.rows,
            "residuals": _residuals(curves),
            "rises": falls.rows,
        },
        drawings=drawings(curves, kept, foretold.rows, cells, best, compute),
    )


def frontier(cells: Sequence[Cell]) -> list[Cell]:
    """The cells that no cell of as little compute equals, in the order of compute."""
    best: list[Cell] = []
    for cell in sorted(cells, key=lambda cell: (cell.C, cell.loss)):
        if not best or cell.loss < best[-1].loss:
            best.append(cell)
    return best


def _order(*parts: Part) -> list[Part]:
    """What was found before what could not be."""
    return sorted(parts, key=lambda part: part.values is None)


def _lacks(line: Sequence[Cell]) -> str:
    """What a budget lacks for a curve, with its figure; empty for nothing."""
    sizes = [cell.N for cell in line]
    if len(sizes) < LEAST_POINTS:
        return f"{len(sizes)} N (at least {LEAST_POINTS})"
    if max(sizes) < LEAST_SPAN * min(sizes):
        return f"N over a factor of {max(sizes) / min(sizes):.2g} (at least {LEAST_SPAN:g})"
    return ""


def _foretold(lines: dict[float, list[Cell]], largest: float, kept: Curves | None, noise: Noise | None) -> Part:
    rows = []
    if kept is not None:
        rows = [_foretell(kept, D, cell, noise) for D in kept.lines for cell in lines[D] if largest <= cell.N]
    if kept is None or not rows:
        most = max(map(len, lines.values()), default=0)
        return Part(
            f"Not enough data to leave the largest rung out and foretell it: no budget has {LEAST_POINTS} other N "
            f"over a factor of {LEAST_SPAN:g} beside it (the most N at one D: {most})."
        )
    inside, error = sum(row["inside"] for row in rows), max(abs(row["error"]) for row in rows)
    width = max(row["half_width"] for row in rows)
    sentence = (
        f"The largest rung (N = {size(largest)}), left out of the fit, lies inside its foretold "
        f"{kept.pooled.confidence:.0%} interval at {inside} of {len(rows)} budgets; "
        f"the largest error is {error:.3f} nats, the largest half-width {width:.3f}."
    )
    values = {"N": largest, "inside": inside, "of": len(rows), "error": error, "half_width": width}
    return Part(sentence, values | {"law": kept.pooled.law, "freedom": kept.pooled.freedom}, rows)


def _foretell(kept: Curves, D: float, cell: Cell, noise: Noise | None) -> Row:
    curve = kept.by_budget[D]
    fewer = 1 / cell.seeds - float(np.mean([1 / other.seeds for other in kept.lines[D]]))
    at = np.array([cell.N])
    value = float(np.exp(curve.log_loss(at))[0])
    extra = lower_loss(kept.pooled.scatter, float(curve.y.mean()), float(np.log(value)))
    extra += noise.relative**2 * max(fewer, 0.0) if noise else 0.0
    low, high = (float(end[0]) for end in kept.pooled.band(curve, at, point=True, extra=extra))
    return {
        "N": cell.N, "D": cell.D, "loss": cell.loss, "foretold": value, "low": low, "high": high,
        "error": cell.loss - value, "half_width": (high - low) / 2,
        "inside": low <= cell.loss <= high,
    }  # fmt: skip


def _sizes(curves: Curves | None, lines: dict[float, list[Cell]]) -> Part:
    if curves is None:
        lacks = "; ".join(f"D = {size(D)} has {_lacks(line)}" for D, line in list(lines.items())[:3])
        more = f"; and so on for {len(lines)} budgets" if len(lines) > 3 else ""
        return Part(f"Not enough data for L(N) at fixed D: {lacks or 'there are no points'}{more}.")
    pooled = curves.pooled
    rows = [_curve_row("D", D, pooled, curve, len(curve.x)) for D, curve in curves.by_budget.items()]
    least, most = min(rows, key=lambda row: row["alpha"]), max(rows, key=lambda row: row["alpha"])
    law = "L(N) = A/N^α" if pooled.law == "power" else "L(N) = E + A/N^α"
    exponents = f"α from {least['alpha']:.3f} (D = {size(least['D'])}) to {most['alpha']:.3f} (D = {size(most['D'])})"
    if len(rows) == 1:
        exponents = f"α = {least['alpha']:.3f} ({least['low']:.3f} to {least['high']:.3f}) at D = {size(least['D'])}"
    sentence = (
        f"At fixed D, {law} with {exponents}; points scatter around the curves by {pooled.scatter:.2%} of the loss "
        f"({pooled.freedom} d.f., pooled over {len(rows)} {'budget' if len(rows) == 1 else 'budgets'})."
    )
    if pooled.bend_chance is not None and pooled.bend_chance < SIGNIFICANCE:
        sentence += f" They bend (second-order terms in log N: p = {pooled.bend_chance:.2g}), so it holds only roughly."
    values = {"law": pooled.law, "scatter": pooled.scatter, "freedom": pooled.freedom, "bend_p": pooled.bend_chance}
    return Part(sentence, values | {"curves": rows}, rows)


def _curve_row(name: str, value: float | None, pooled: Pooled, curve: Curve, points: int) -> Row:
    low, high = pooled.exponent(curve)
    row: Row = {} if value is None else {name: value}
    return row | {"E": curve.E, "A": curve.A, "alpha": curve.alpha, "low": low, "high": high, "points": points}


def _compute_curve(best: Sequence[Cell], config: PowerLawConfig) -> Pooled | None:
    if len(best) < LEAST_FRONTIER or best[-1].C < LEAST_FRONTIER_SPAN * best[0].C:
        return None
    return Pooled.to([([cell.C for cell in best], [cell.loss for cell in best])], config.law, config.confidence)


def _compute(best: Sequence[Cell], compute: Pooled | None) -> Part:
    rows = [{"C": cell.C, "N": cell.N, "D": cell.D, "loss": cell.loss, "run": " ".join(cell.runs)} for cell in best]
    if compute is None:
        span = f" over a factor of {best[-1].C / best[0].C:.2g}" if best else ""
        return Part(
            f"Not enough data for L(C): the compute frontier has {len(best)} points{span} "
            f"(at least {LEAST_FRONTIER}, over a factor of {LEAST_FRONTIER_SPAN:g}).",
            rows=rows,
        )
    row = _curve_row("", None, compute, compute.curves[0], len(best))
    offset = f"{row['E']:.3g} + " if compute.law == "offset" else ""
    sentence = (
        f"Along the compute frontier ({len(best)} points) L(C) = {offset}{row['A']:.3g}/C^{row['alpha']:.4f}, "
        f"{compute.confidence:.0%} interval of the exponent {row['low']:.4f} to {row['high']:.4f}."
    )
    return Part(sentence, {"law": compute.law, "scatter": compute.scatter, **row}, rows)


def _falls(cells: Sequence[Cell], noise: Noise | None) -> Part:
    seen = {along for along, _, _ in steps(cells)}
    if not seen:
        return Part("No two points differ in N alone or in D alone, so nothing shows whether loss falls with either.")
    rows = rises(cells)
    if not rows:
        falls = {"N": "with N at every D", "D": "with D at every N"}
        return Part(f"Loss falls {' and '.join(text for along, text in falls.items() if along in seen)}.", True)
    worst = max(rows, key=lambda row: row["rise"])
    sentence = (
        f"Loss does not fall everywhere: {len(rows)} {'step rises' if len(rows) == 1 else 'steps rise'}, the most by "
        f"{worst['rise']:.3f} nats (along {worst['along']} to N = {size(worst['N'])}, D = {size(worst['D'])})"
    )
    return Part(f"{sentence}, with seed noise of {noise.nats:.3f}." if noise else f"{sentence}.", False, rows)


def _residuals(curves: Curves | None) -> list[Row]:
    if curves is None:
        return []
    rows = []
    for D, curve in curves.by_budget.items():
        for cell, fitted in zip(curves.lines[D], np.exp(curve.y - curve.residual), strict=True):
            row = {"N": cell.N, "D": cell.D, "seeds": cell.seeds, "loss": cell.loss, "fitted": float(fitted)}
            rows.append(row | {"residual": cell.loss - float(fitted), "run": " ".join(cell.runs)})
    return rows
