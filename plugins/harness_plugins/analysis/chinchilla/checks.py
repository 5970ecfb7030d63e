"""When a ladder says enough for the joint law, and when the law does not fit what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.results.cells import Cell, Noise, distinct
from harness_plugins.analysis.chinchilla.law import PARAMETERS, Array, Design, value_and_jacobian

LEAST_CELLS = len(PARAMETERS) + 3
LEAST_DISTINCT = 3  #: a power with an offset has three parameters, in N as in D
LEAST_SPAN = 3.0  #: largest over smallest
SAME_RATIO = 0.1  #: D/N closer than this share count as one: budgets are rounded to whole steps
MOST_CONDITION = 1000.0  #: beyond it an error of 0.1 % in the losses can move a parameter by its own size
SIGNIFICANCE = 0.01


def missing(cells: Sequence[Cell]) -> list[str]:
    """What the ladder lacks, each with its figure; empty where the law can be fitted."""
    found = []
    if len(cells) < LEAST_CELLS:
        found.append(f"{len(cells)} different sizes and budgets (at least {LEAST_CELLS})")
    values = {
        "N": ([cell.N for cell in cells], 0.01),
        "D": ([cell.D for cell in cells], 0.01),
        "D/N": ([cell.D / cell.N for cell in cells], SAME_RATIO),
    }
    for name, (seen, tolerance) in values.items():
        count = len(distinct(seen, tolerance))
        if count < LEAST_DISTINCT:
            found.append(f"{count} distinct {name} (at least {LEAST_DISTINCT})")
        elif max(seen) < LEAST_SPAN * min(seen):
            found.append(f"{name} over a factor of {max(seen) / min(seen):.2g} (at least {LEAST_SPAN:g})")
    return found


@dataclass(frozen=True)
class Fit:
    """How well the law fits. rms: of the residuals of log L, with the fit's degrees of freedom."""

    fits: bool
    rms: float
    sentence: str


def fit_quality(
    design: Design, theta: Array, residual: Array, cells: Sequence[Cell], noise: Noise | None, bound: float
) -> Fit:
    """With seeds, an F-test of the residuals against the seeds' noise. Without, the residuals' size against
    `bound`, and an F-test for what second-order terms in log N and log D still explain of them."""
    freedom = len(residual) - len(PARAMETERS)
    rms = float(np.sqrt((residual**2).sum() / freedom))
    size = f"residuals of {rms:.2%} of the loss (root mean square)"
    if noise is not None and noise.relative > 0:
        seeds = np.array([cell.seeds for cell in cells])
        chance = _f_tail((seeds * residual**2).sum() / freedom / noise.relative**2, freedom, noise.freedom)
        against = f"{size}, seed noise of {noise.relative:.2%}, p = {chance:.2g}"
        return _verdict(chance >= SIGNIFICANCE, rms, against)
    ordered = _curvature_left(design, theta, residual)
    against = f"{size}, against a bound of {bound:.2%}; without more seeds there is no estimate of the noise"
    if ordered is not None:
        against += f"; second-order terms in log N and log D: p = {ordered:.2g}"
    return _verdict(rms <= bound and (ordered is None or ordered >= SIGNIFICANCE), rms, against)


def _verdict(fits: bool, rms: float, against: str) -> Fit:
    if fits:
        return Fit(True, rms, f"Nothing speaks against the law: {against}.")
    return Fit(
        False,
        rms,
        f"The law E + A/N^α + B/D^β does not fit these points: {against}. Its numbers describe them only roughly.",
    )


def _curvature_left(design: Design, theta: Array, residual: Array) -> float | None:
    """p-value; None where there are too few points for the test."""
    n, d = design.centred
    jacobian = value_and_jacobian(theta[None], n, d)[1][0]
    wider = np.column_stack([jacobian, n * n, n * d, d * d])
    freedom = len(residual) - wider.shape[1]
    if freedom < 3:
        return None
    narrow, wide = (_squares_left(columns, residual) for columns in (jacobian, wider))
    return _f_tail((narrow - wide) / 3 / (wide / freedom), 3, freedom) if wide > 0 else None


def _squares_left(columns: Array, values: Array) -> float:
    fitted = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    return float(((values - fitted) ** 2).sum())


def _f_tail(statistic: float, above: int, below: int) -> float:
    from scipy.stats import f

    return float(f.sf(statistic, above, below))
