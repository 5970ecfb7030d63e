"""What a score gained from one run to the next, over several pairs of runs on the same samples, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.rundir import RunDir
from harness.scoring.paired import error_of, paired_pulls, questions
from harness.scoring.samples import read_samples, samples_of

Row = dict[str, Any]
#: A run, the one that it starts from, and their rows of the table `scores`.
Pair = tuple[RunDir, RunDir, Row, Row]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """after − before, means over the pairs. low, high: the interval; None where the samples give none. samples: of one
    pair; None where the pairs have not the same number."""

    before: float
    after: float
    low: float | None
    high: float | None
    samples: int | None

    @property
    def value(self) -> float:
        return self.after - self.before


def differences(pairs: Sequence[Pair]) -> list[tuple[list[Pair], Difference]]:
    """One score after and before, with the pairs of runs that it is of: all together or, where each of them was asked
    samples of its own, each alone, since there is no telling what a sample moves in all of them."""
    together = difference(pairs)
    if together.low is None and len(pairs) > 1:
        alone = [([pair], difference([pair])) for pair in pairs]
        if all(found.low is not None for _, found in alone):
            return alone
    return [(list(pairs), together)]


def difference(pairs: Sequence[Pair]) -> Difference:
    """Without an interval where the samples, the settings or the kinds of likelihood are not the same for all runs."""
    after = float(np.mean([of_run["value"] for _, _, of_run, _ in pairs]))
    before = float(np.mean([of_parent["value"] for _, _, _, of_parent in pairs]))
    counts = {row["n"] for _, _, of_run, of_parent in pairs for row in (of_run, of_parent)}
    samples = counts.pop() if len(counts) == 1 else None
    asked = [_asked(run, row) for of_run, of_parent, a, b in pairs for run, row in ((of_run, a), (of_parent, b))]
    if asked[0] is None or any(other != asked[0] for other in asked):
        return Difference(before, after, None, None, samples)
    pulls = [_pulls(*pair) for pair in pairs]
    if any(pull is None for pull in pulls):
        return Difference(before, after, None, None, samples)
    pulls_PS = np.stack([pull for pull in pulls if pull is not None])
    half = half_width(pulls_PS, np.array([a["value"] - b["value"] for _, _, a, b in pairs]))
    return Difference(before, after, after - before - half, after - before + half, samples)


def half_width(pulls_PS: np.ndarray, differences_P: np.ndarray) -> float:
    """Of the interval of the mean of P differences. pulls_PS: by how much each sample moves each of them.

    Two errors are added as independent ones are, each with its own quantile of Student's t: that over samples, of what
    each moves on the mean over pairs; and, of several pairs, that over pairs. It is rather too wide than too narrow
    (Graybill & Wang 1980 on sums of variances): one number of degrees of freedom for both, by Satterthwaite, covers
    87 % instead of 95 where two pairs differ by much.
    """
    pairs, samples = pulls_PS.shape
    errors = [(error_of(pulls_PS.mean(axis=0)), samples - 1)]
    if pairs > 1:
        errors.append((float(np.std(differences_P, ddof=1)) / math.sqrt(pairs), pairs - 1))
    return added(errors)


def added(errors: Sequence[tuple[float, int]], comparisons: int = 1) -> float:
    """The half width of an interval from independent standard errors, each with its degrees of freedom and so with its
    own quantile. comparisons: over how many intervals together the confidence is to hold (Bonferroni)."""
    from scipy.special import stdtrit  # Student's quantile; scipy.stats takes a second to import

    quantile = 1 - (1 - CONFIDENCE) / (2 * comparisons)
    return math.hypot(*(float(stdtrit(freedom, quantile)) * error for error, freedom in errors))


def _asked(run: RunDir, row: Row) -> tuple[Any, ...] | None:
    """What a score is of; None where its samples are not there."""
    samples = _samples(run, row)
    if samples is None:
        return None
    return row.get("likelihood"), row.get("settings"), questions(samples, row["metric"])


def _pulls(run: RunDir, parent: RunDir, of_run: Row, of_parent: Row) -> np.ndarray | None:
    both = [_samples(run, of_run) or [], _samples(parent, of_parent) or []]
    return paired_pulls(both[0], both[1], of_run["metric"], of_run["value"], of_parent["value"])


def _samples(run: RunDir, row: Row) -> list[Row] | None:
    path = samples_of(run, row)
    return read_samples(path).to_pylist() if path.is_file() else None
