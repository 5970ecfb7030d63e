"""The difference of two models' scores on the same samples, with a standard error that knows they are the same.

Documents are hard or easy for both models: taken together, that cancels; taken apart, it is most of the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Sample = dict[str, Any]


def paired_error(
    samples_a: Sequence[Sample], samples_b: Sequence[Sample], metric: str, value_a: float, value_b: float
) -> float | None:
    """The standard error of value_a − value_b, both of one metric; None where the samples are not the same ones, or do
    not add up to the values."""
    pulls = paired_pulls(samples_a, samples_b, metric, value_a, value_b)
    return None if pulls is None else error_of(pulls)


def error_of(pulls: np.ndarray) -> float:
    """The standard error of what samples pull at; shape (samples,)."""
    return float(math.sqrt(len(pulls) / (len(pulls) - 1) * np.sum(pulls**2)))


def paired_pulls(
    samples_a: Sequence[Sample], samples_b: Sequence[Sample], metric: str, value_a: float, value_b: float
) -> np.ndarray | None:
    """By how much each sample moves value_a − value_b from where the others have it, to first order; shape (samples,).
    None as above."""
    if questions(samples_a, metric) != questions(samples_b, metric):
        return None
    a, b = (pulls_of(samples, metric, value) for samples, value in ((samples_a, value_a), (samples_b, value_b)))
    return None if a is None or b is None else np.asarray(a - b)


def pulls_of(samples: Sequence[Sample], metric: str, value: float) -> np.ndarray | None:
    """By how much each sample moves one model's score; shape (samples,). None where there are fewer than two, or where
    they do not add up to the value."""
    rows = _of(metric, samples)
    return _pulls(rows, f"metric.{metric.partition(',')[0]}", value) if len(rows) > 1 else None


def questions(samples: Sequence[Sample], metric: str) -> list[tuple[Any, ...]]:
    """What was asked, sample by sample, for one metric."""
    return [tuple(sample.get(key) for key in ("document", "prompt", "target")) for sample in _of(metric, samples)]


def _of(metric: str, samples: Sequence[Sample]) -> list[Sample]:
    """Those that went through the metric's filter, which its name has behind a comma."""
    wanted = metric.partition(",")[2] or "none"
    return [sample for sample in samples if sample.get("filter") == wanted]


def _pulls(samples: Sequence[Sample], column: str, value: float) -> np.ndarray | None:
    """By how much each sample moves the score from where the others have it, to first order (Cochran 1977, §2.11 for
    ratios); shape (samples,). None where no way of adding them up gives the score."""
    own = np.array([_number(sample.get(column)) for sample in samples])
    log_likelihoods = np.array([sum(map(_number, sample.get("log_likelihoods") or ())) for sample in samples])
    for add_up in (_mean, _ratio, _perplexity):
        with np.errstate(all="ignore"):
            total, pulls = add_up(own, log_likelihoods)
        if math.isclose(total, value, rel_tol=1e-6, abs_tol=1e-9) and np.isfinite(pulls).all():
            return pulls
    return None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


Added = tuple[float, np.ndarray]


def _mean(own: np.ndarray, log_likelihoods: np.ndarray) -> Added:
    return float(own.mean()), (own - own.mean()) / len(own)


def _ratio(own: np.ndarray, log_likelihoods: np.ndarray) -> Added:
    """A ratio of sums, such as bits per byte: a sample's own ratio weighs as what its log-likelihood is divided by."""
    weights = log_likelihoods / own
    total = float((weights * own).sum() / weights.sum())
    return total, weights * (own - total) / weights.sum()


def _perplexity(own: np.ndarray, log_likelihoods: np.ndarray) -> Added:
    total, pulls = _ratio(np.log(own), log_likelihoods)
    return math.exp(total) if total < 700 else math.inf, math.exp(min(total, 700)) * pulls
