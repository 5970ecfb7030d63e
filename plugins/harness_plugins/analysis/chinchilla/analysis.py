"""From points to the finding: fit, intervals, optimum, the largest rung foretold, and how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.interfaces.analysis import Finding, Point
from harness.reports.style import size
from harness.results.cells import Cell, Noise, averaged, finite, lower_loss, remarks, seed_noise
from harness_plugins.analysis.chinchilla import ChinchillaConfig, checks, law
from harness_plugins.analysis.chinchilla.drawings import drawings
from harness_plugins.analysis.chinchilla.law import PARAMETERS, Array, Design, Scatter
from harness_plugins.analysis.chinchilla.region import Quantities, Region

Row = dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """The law fitted to a ladder, with its resamples and the region that its points do not reject."""

    design: Design
    log_loss: Array
    theta: Array
    resamples: Array  #: (bootstraps, 5), as `law.natural` gives them
    region: Region

    @classmethod
    def to(cls, cells: Sequence[Cell], config: ChinchillaConfig, rng: np.random.Generator) -> Fitted:
        design, log_loss = _design(cells), np.log([cell.loss for cell in cells])
        theta = law.fit(design, log_loss)
        resamples = law.bootstrap(design, theta, log_loss, config.bootstraps, rng)
        region = Region.around(design, log_loss, config.confidence)
        return cls(design, log_loss, theta, law.natural(resamples, design), region)

    @property
    def law(self) -> Array:
        """(E, A, α, B, β)."""
        return law.natural(self.theta, self.design)

    @property
    def residual(self) -> Array:
        return self.log_loss - np.log(law.loss(self.law, self.design.N, self.design.D))

    @property
    def confidence(self) -> float:
        return self.region.confidence

    def interval(self, quantities: Quantities, count: int) -> tuple[Array, Array]:
        """The lower and upper ends for each of `count` quantities: the farther one of the resampled fits' percentiles
        and of the region's reach. Percentiles hold whatever the noise is like, the region where E comes near none."""
        low, high = self._percentiles(quantities(self._resampled(count)))
        least, most = self.region.reach(quantities, count)
        return np.minimum(low, least), np.maximum(high, most)

    def foretell(self, design: Design, rng: np.random.Generator, extra: Array) -> tuple[Array, Array]:
        """Intervals for single losses that are yet to be seen. extra: variance of log L that each has beyond the
        scatter (fewer seeds behind it)."""

        def log_losses(laws: Array) -> Array:
            return np.log(law.each(laws, design.N, design.D))

        count = len(design.N)
        drawn = log_losses(self._resampled(count)) + Scatter.of(self.residual).draw(rng, (len(self.resamples), count))
        low, high = self._percentiles(drawn + np.sqrt(extra) * rng.standard_normal(drawn.shape))
        middle, (least, most) = self.region.middle(log_losses, count), self.region.reach(log_losses, count)
        own = self.region.t**2 * (self.region.scatter**2 + extra)
        least, most = middle - np.sqrt((middle - least) ** 2 + own), middle + np.sqrt((most - middle) ** 2 + own)
        return np.exp(np.minimum(low, least)), np.exp(np.maximum(high, most))

    def _resampled(self, count: int) -> Array:
        return np.repeat(self.resamples[:, None], count, axis=1)

    def _percentiles(self, samples: Array) -> tuple[Array, Array]:
        return law.interval(samples, self.confidence, len(self.log_loss) - len(PARAMETERS))


def analyse(config: ChinchillaConfig, points: Sequence[Point]) -> Finding:
    used, diverged = finite(points)
    cells, noise = averaged(used), seed_noise(used)
    said = remarks(used, diverged, noise)
    lacks = checks.missing(cells)
    if lacks:
        return _refused(f"has {'; '.join(lacks)}", said)
    rng = np.random.default_rng(config.seed)
    fitted = Fitted.to(cells, config, rng)
    condition = law.condition(fitted.theta, fitted.design)
    if not condition <= checks.MOST_CONDITION:
        figure = f"condition number {condition:.3g}, at most {checks.MOST_CONDITION:g}"
        return _refused(f"does not tell the five parameters apart ({figure})", said)
    quality = checks.fit_quality(fitted.design, fitted.theta, fitted.residual, cells, noise, config.misfit)
    parameters = _parameters(fitted)
    best = _optimum(fitted, config.compute or float((6 * fitted.design.N * fitted.design.D).max()))
    left_out, left_out_sentence = _left_out(cells, noise, config, rng)
    sentences = [_law_sentence(parameters, config), _optimum_sentence(best, fitted), left_out_sentence]
    sentences.insert(1 if quality.fits else 0, quality.sentence)
    return Finding(
        analysis="chinchilla",
        verdict="ok",
        sentences=sentences + said,
        values={
            "fits": quality.fits,
            "parameters": {row["parameter"]: {key: row[key] for key in ("value", "low", "high")} for row in parameters},
            "optimum": best,
            "left_out": left_out,
            "residual_rms": quality.rms,
            "condition": condition,
            "seed_noise": noise.nats if noise else None,
            "points": len(used),
            "cells": len(cells),
            "confidence": config.confidence,
            "bootstraps": config.bootstraps,
            "compute_convention": "C = 6ND",
        },
        tables={"parameters": parameters, "left out": left_out, "residuals": _residuals(fitted, cells)},
        drawings=drawings(fitted, left_out),
    )


def _refused(why: str, said: list[str]) -> Finding:
    sentence = f"Not enough data for L(N, D) = E + A/N^α + B/D^β: the ladder {why}."
    return Finding("chinchilla", "not enough data", [sentence, *said], {"fits": None, "lacks": why})


def _design(cells: Sequence[Cell]) -> Design:
    return Design(np.array([cell.N for cell in cells]), np.array([cell.D for cell in cells]))


def _parameters(fitted: Fitted) -> list[Row]:
    low, high = fitted.interval(lambda laws: np.einsum("...qq->...q", laws), len(PARAMETERS))
    names = zip(PARAMETERS, fitted.law, low, high, strict=True)
    return [{"parameter": name, "value": float(v), "low": float(lo), "high": float(hi)} for name, v, lo, hi in names]


def _law_sentence(parameters: list[Row], config: ChinchillaConfig) -> str:
    E, A, alpha, B, beta = parameters
    text = (
        f"L(N, D) = {E['value']:.3g} + {A['value']:.3g}/N^{alpha['value']:.3f} + {B['value']:.3g}/D^{beta['value']:.3f}"
    )
    names = (("E", E), ("α", alpha), ("β", beta))
    ranges = ", ".join(f"{name} {row['low']:.3g} to {row['high']:.3g}" for name, row in names)
    return f"{text}; {config.confidence:.0%} intervals: {ranges}."


def _optimum(fitted: Fitted, compute: float) -> Row:
    N, D = law.optimum(fitted.law, compute)
    low, high = (end[0] for end in fitted.interval(lambda laws: np.log(law.optimum(laws, compute)[0]), 1))
    N_low, N_high = float(np.exp(low)), float(np.exp(high))
    pairs = {"D_low": compute / 6 / N_high, "D_high": compute / 6 / N_low}  # D is what N leaves of C = 6ND
    return {"C": compute, "N": float(N), "N_low": N_low, "N_high": N_high, "D": float(D), **pairs}


def _optimum_sentence(best: Row, fitted: Fitted) -> str:
    ranges = {name: f"{size(best[name + '_low'])} to {size(best[name + '_high'])}" for name in "ND"}
    sentence = (
        f"With C = 6ND = {best['C']:.3g} FLOPs the law is lowest at N = {size(best['N'])} ({ranges['N']}) "
        f"and D = {size(best['D'])} ({ranges['D']})"
    )
    seen = {"N": fitted.design.N, "D": fitted.design.D}
    beyond = [name for name in "ND" if not seen[name].min() <= best[name] <= seen[name].max()]
    return f"{sentence}; that {' and '.join(beyond)} lies outside the ladder." if beyond else f"{sentence}."


def _left_out(
    cells: Sequence[Cell], noise: Noise | None, config: ChinchillaConfig, rng: np.random.Generator
) -> tuple[list[Row], str]:
    """The largest rung, foretold by a law that has not seen it, with the scatter of a single point added."""
    largest = max(cell.N for cell in cells)
    kept = [cell for cell in cells if largest > cell.N]
    out = [cell for cell in cells if largest <= cell.N]
    lacks = checks.missing(kept)
    if lacks:
        return [], f"No rung could be left out and foretold: without the largest the ladder has {'; '.join(lacks)}."
    fitted, design = Fitted.to(kept, config, rng), _design(out)
    foretold = law.loss(fitted.law, design.N, design.D)
    mean, scatter = float(fitted.log_loss.mean()), fitted.region.scatter
    extra = _fewer_seeds(out, kept, noise) + [lower_loss(scatter, mean, f) for f in np.log(foretold).tolist()]
    low, high = fitted.foretell(design, rng, extra)
    rows = [
        {
            "N": cell.N, "D": cell.D, "loss": cell.loss, "foretold": float(f), "low": float(lo), "high": float(hi),
            "error": cell.loss - float(f), "inside": bool(lo <= cell.loss <= hi),
        }
        for cell, f, lo, hi in zip(out, foretold, low, high, strict=True)
    ]  # fmt: skip
    inside, worst = sum(row["inside"] for row in rows), max(abs(row["error"]) for row in rows)
    width = max(row["high"] - row["low"] for row in rows) / 2
    return rows, (
        f"The largest rung (N = {size(largest)}), left out of the fit, lies inside its foretold "
        f"{config.confidence:.0%} interval at {inside} of {len(rows)} budgets; the largest error is {worst:.3f} nats, "
        f"the largest half-width {width:.3f}."
    )


def _fewer_seeds(out: Sequence[Cell], kept: Sequence[Cell], noise: Noise | None) -> Array:
    """Variance of log L that each of `out` has beyond that of the mean of `kept`, since fewer seeds stand behind it."""
    fewer = np.array([1 / cell.seeds for cell in out]) - np.mean([1 / cell.seeds for cell in kept])
    return np.maximum(fewer, 0.0) * (noise.relative**2 if noise else 0.0)


def _residuals(fitted: Fitted, cells: Sequence[Cell]) -> list[Row]:
    predicted = law.loss(fitted.law, fitted.design.N, fitted.design.D)
    return [
        {
            "N": cell.N, "D": cell.D, "D/N": cell.D / cell.N, "seeds": cell.seeds, "loss": cell.loss,
            "predicted": float(value), "residual": cell.loss - float(value), "run": " ".join(cell.runs),
        }
        for cell, value in zip(cells, predicted, strict=True)
    ]  # fmt: skip
