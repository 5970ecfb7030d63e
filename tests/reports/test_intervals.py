"""The intervals of what stages gained, against simulated runs."""

import math

import numpy as np
import pytest

from harness.reports.intervals import half_width

SAMPLES = 50


@pytest.mark.parametrize(("pairs", "between"), [(1, 0.0), (2, 0.0), (2, 0.6), (4, 0.3)])
def test_intervals_hold_the_truth_as_often_as_they_say(pairs: int, between: float):
    """Simulated: each pair has a shift of its own, each sample one of its own in every pair. At least 95 %, and with
    one pair, where nothing is counted twice, not more either."""
    rng, held, times, truth = np.random.default_rng(0), 0, 1000, 0.4
    for _ in range(times):
        of_samples = rng.normal(0, 1, SAMPLES)
        rows_PS = truth + rng.normal(0, between, (pairs, 1)) + of_samples + rng.normal(0, 0.5, (pairs, SAMPLES))
        found = rows_PS.mean(axis=1)
        half = half_width((rows_PS - found[:, None]) / SAMPLES, found)
        held += abs(found.mean() - truth) <= half
    noise = 3 * math.sqrt(0.95 * 0.05 / times)
    assert held / times > 0.95 - noise
    assert pairs > 1 or held / times < 0.95 + noise
