"""Standard errors of aggregated metrics, cheap enough to give one with every score.

lm-eval bootstraps 100,000 times by default; means and ratios have closed forms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from lm_eval.api.metrics import bits_per_byte, mean, weighted_mean, weighted_perplexity

Aggregate = Callable[[Sequence[Any]], float]

BOOTSTRAPS = 200


def nats_per(items: Sequence[tuple[float, float]]) -> float:
    """−Σ log-likelihood / Σ weight over (log-likelihood in nats, weight) pairs."""
    return -weighted_mean(items)


#: Aggregates that are functions of r = Σa / Σb, with the size of their derivative by r at a value.
RATIOS: dict[Aggregate, Callable[[float], float]] = {
    nats_per: lambda value: 1.0,
    bits_per_byte: lambda value: 1 / math.log(2),
    weighted_perplexity: lambda value: value,
}


def standard_error(aggregate: Aggregate, items: Sequence[Any]) -> float | None:
    """The standard error over samples; None where one sample is all there is.

    Exact for means; by linearisation for ratios of sums (Cochran 1977, §2.11); else from seeded bootstraps.
    """
    if len(items) < 2:
        return None
    if aggregate is mean:
        return float(np.std(np.asarray(items, dtype=np.float64), ddof=1) / math.sqrt(len(items)))
    if aggregate in RATIOS:
        a, b = np.asarray(items, dtype=np.float64).T
        residuals = a - (a.sum() / b.sum()) * b
        of_ratio = math.sqrt(len(items) / (len(items) - 1) * np.sum(residuals**2)) / b.sum()
        return float(of_ratio * RATIOS[aggregate](aggregate(items)))
    return _bootstrap(aggregate, items)


def _bootstrap(aggregate: Aggregate, items: Sequence[Any]) -> float | None:
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(items), size=(BOOTSTRAPS, len(items)))
    values = np.asarray([aggregate([items[i] for i in draw]) for draw in draws], dtype=np.float64)
    return float(np.std(values, ddof=1)) if np.isfinite(values).all() else None
