"""Which conditions differ: differences of their means over seeds, with intervals, and the ranks that these allow.

Lower values are better. Seeds are few, so how far they spread is pooled over the conditions: where conditions have
the same seeds, that of their differences, as in a design of complete blocks (Fisher 1935, ch. 4); else that of seeds
as well. A condition whose seeds spread more than the others' is judged by its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.reports.intervals import added
from harness.scoring.paired import error_of

#: Chance by which one of the conditions would be taken for a louder one, if none is.
LOUD = 0.01

#: Standard error and degrees of freedom.
Error = tuple[float, int]


@dataclass(frozen=True)
class Arm:
    """One condition on one rung. values: by seed. pulls_S: by how much each held-out sample moves their mean; None
    where samples are not known. asked: equal where the samples are the same."""

    name: str
    values: Mapping[Any, float]
    pulls_S: np.ndarray | None = None
    asked: Any = None

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.values.values())))

    @property
    def variance(self) -> float:
        return float(np.var(list(self.values.values()), ddof=1)) if len(self.values) > 1 else 0.0

    @property
    def freedom(self) -> int:
        return len(self.values) - 1


@dataclass(frozen=True)
class Noise:
    """What seeds change, as standard deviations of one value, with their degrees of freedom. within: beside other
    conditions of the same seed; between: of what a seed does to all conditions, from above, since it holds a part of
    the first. None where nothing tells it. loud: conditions that are left out of both."""

    within: Error | None
    between: Error | None
    loud: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Gap:
    """Of two means, the first less the second. comparisons: over how many such intervals together the confidence is to
    hold."""

    value: float
    over_samples: tuple[Error, ...]
    over_seeds: tuple[Error, ...]
    comparisons: int

    @property
    def half(self) -> float | None:
        """Half the width of the interval; None where nothing tells how wide it is."""
        errors = [*self.over_samples, *self.over_seeds]
        return added(errors, self.comparisons) if errors else None

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.value - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.value + self.half

    @property
    def sign(self) -> int:
        """1 or −1 where the interval leaves no doubt, else 0."""
        return 0 if self.half is None or abs(self.value) <= self.half else int(math.copysign(1, self.value))


def noise_of(arms: Sequence[Arm]) -> Noise:
    """Two conditions of the same seeds share what these do to both, and so do their variances: however many conditions
    there are, what a seed does to all is known from a few seeds only."""
    loud = _loud(arms)
    blocks: dict[frozenset[Any], list[Arm]] = {}
    for arm in arms:
        if arm.name not in loud and arm.freedom:
            blocks.setdefault(frozenset(arm.values), []).append(arm)
    tables = [np.array([[arm.values[seed] for seed in own[0].values] for arm in own]) for own in blocks.values()]
    left = [values_CS - values_CS.mean(0) - values_CS.mean(1, keepdims=True) + values_CS.mean() for values_CS in tables]
    freedom = sum((len(values_CS) - 1) * (values_CS.shape[1] - 1) for values_CS in tables)
    of_seeds = [values_CS.mean(0) - values_CS.mean() for values_CS in tables]
    return Noise(_pooled(left, freedom), _pooled(of_seeds, sum(len(means_S) - 1 for means_S in of_seeds)), loud)


def _pooled(residuals: Sequence[np.ndarray], freedom: int) -> Error | None:
    return (math.sqrt(sum(float((left**2).sum()) for left in residuals) / freedom), freedom) if freedom else None


def _loud(arms: Sequence[Arm]) -> frozenset[str]:
    """Conditions whose variance over seeds is above what the others' allow, one after the other, by an F-test."""
    from scipy.special import fdtrc

    quiet = [arm for arm in arms if arm.freedom]
    found: set[str] = set()
    while len(quiet) > 2:
        widest = max(quiet, key=lambda arm: arm.variance)
        others = [arm for arm in quiet if arm is not widest]
        freedom = sum(arm.freedom for arm in others)
        pooled = sum(arm.freedom * arm.variance for arm in others) / freedom
        if pooled and fdtrc(widest.freedom, freedom, widest.variance / pooled) * len(quiet) >= LOUD:
            break
        if widest.variance == 0:
            break
        found.add(widest.name)
        quiet = others
    return frozenset(found)


def gap(a: Arm, b: Arm, noise: Noise, comparisons: int) -> Gap:
    """The difference of two conditions on one rung."""
    return Gap(a.mean - b.mean, _over_samples(_pulled(a, b)), tuple(_over_seeds(a, b, noise)), comparisons)


def change(small: tuple[Arm, Arm, Gap], large: tuple[Arm, Arm, Gap]) -> Gap:
    """By how much a difference moves from a small rung to a large one. The seeds of two rungs are taken as independent,
    which errs on the side of width; so are their samples, where they are not the same."""
    moved, before = _pulled(*large[:2]), _pulled(*small[:2])
    over_samples = (*small[2].over_samples, *large[2].over_samples)
    if moved is not None and before is not None and small[0].asked == large[0].asked:
        over_samples = _over_samples(moved - before)
    over_seeds = (*small[2].over_seeds, *large[2].over_seeds)
    return Gap(large[2].value - small[2].value, over_samples, over_seeds, large[2].comparisons)


def _pulled(a: Arm, b: Arm) -> np.ndarray | None:
    if a.pulls_S is None or b.pulls_S is None or a.asked != b.asked:
        return None
    return np.asarray(a.pulls_S - b.pulls_S)


def _over_samples(pulls_S: np.ndarray | None) -> tuple[Error, ...]:
    return () if pulls_S is None else ((error_of(pulls_S), len(pulls_S) - 1),)


def _over_seeds(a: Arm, b: Arm, noise: Noise) -> list[Error]:
    """Of the difference of two means over seeds."""
    own = [arm for arm in (a, b) if arm.name in noise.loud]
    pooled = [arm for arm in (a, b) if arm.name not in noise.loud]
    paired = not own and a.values.keys() == b.values.keys()
    share = math.sqrt(sum(1 / len(arm.values) for arm in pooled))
    errors = [(math.sqrt(arm.variance / len(arm.values)), arm.freedom) for arm in own]
    for error in [noise.within] if paired else [noise.within, noise.between]:
        if error and pooled:
            errors.append((error[0] * share, error[1]))
    return errors


def ranks(arms: Sequence[Arm], noise: Noise) -> dict[str, tuple[int, int]]:
    """By condition the places, from 1, that the intervals of its differences from all others allow it: together they
    hold for each condition by itself (Mogstad et al. 2024, marginal confidence sets)."""
    found = {}
    for arm in arms:
        signs = [gap(arm, other, noise, len(arms) - 1).sign for other in arms if other is not arm]
        found[arm.name] = (1 + signs.count(1), len(arms) - signs.count(-1))
    return found
