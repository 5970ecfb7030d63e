"""Conditions are told apart as often as is said: simulated studies whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.reports.intervals import CONFIDENCE
from harness.reports.ranking import Arm, change, gap, noise_of, ranks

STUDIES = 300
DOCUMENTS = 40


def a_study(chance: np.random.Generator, truth: np.ndarray, seeds: int = 2, louder: float = 1.0) -> list[Arm]:
    """One condition for each true value, and behind them the first once more, from other seeds. What a seed does to
    all, what it does to each, and what each document costs each condition are drawn anew."""
    block, single, document = 0.02, 0.01, 0.05
    costs_CD = chance.normal(0, document, (len(truth), DOCUMENTS))
    costs_CD = np.vstack([costs_CD, costs_CD[:1]])  # the same model finds the same documents hard
    arms = []
    shared = {seed: chance.normal(0, block) for seed in range(seeds)}
    for i, costs_D in enumerate(costs_CD):
        twin = i == len(truth)
        own = {100 + seed: chance.normal(0, block) for seed in range(seeds)} if twin else shared
        mean = truth[0 if twin else i] + costs_D.mean()
        wide = single * (louder if i == len(truth) - 1 else 1.0)
        values = {seed: mean + of_all + chance.normal(0, wide) for seed, of_all in own.items()}
        arms.append(Arm("twin" if twin else f"c{i}", values, (costs_D - costs_D.mean()) / DOCUMENTS))
    return arms


def truth_of(chance: np.random.Generator) -> np.ndarray:
    """A reference, eight variants about as good, and a crippled one."""
    return np.array([2.0, *(2.0 + chance.normal(0, 0.01, 8)), 2.6])


@pytest.fixture(scope="module")
def studies() -> list[tuple[np.ndarray, list[Arm]]]:
    chance = np.random.default_rng(5)
    return [(truth, a_study(chance, truth)) for truth in (truth_of(chance) for _ in range(STUDIES))]


def at_least(times: int, share: float) -> bool:
    """Whether so many of the studies agree with a share of at least so much, up to chance of one in a thousand."""
    return bool(times >= stats.binom.ppf(0.001, STUDIES, share))


def test_intervals_hold_the_truth_together(studies: Any):
    held = 0
    for truth, arms in studies:
        noise, paired = noise_of(arms), arms[1:-1]
        gaps = [gap(arm, arms[0], noise, len(arms) - 1) for arm in paired]
        held += all(abs(own.value - (value - truth[0])) <= own.half for own, value in zip(gaps, truth[1:], strict=True))
    assert at_least(held, CONFIDENCE)


def test_a_duplicate_from_other_seeds_is_noise(studies: Any):
    alone = [gap(arms[-1], arms[0], noise_of(arms), 1) for _, arms in studies]
    noise = sum(own.sign == 0 for own in alone)
    assert at_least(noise, CONFIDENCE)
    assert noise < STUDIES, "an interval that is never wrong is too wide to be of use"


def test_the_crippled_one_is_last_beyond_doubt(studies: Any):
    last = sum(ranks(arms, noise_of(arms))["c9"] == (len(arms), len(arms)) for _, arms in studies)
    assert last > 0.95 * STUDIES


def test_ranges_of_ranks_hold_the_true_rank(studies: Any):
    held = 0
    for truth, arms in studies:
        low, high = ranks(arms[:-1], noise_of(arms[:-1]))["c3"]
        held += low <= 1 + int((truth < truth[3]).sum()) <= high
    assert at_least(held, CONFIDENCE)


def test_a_condition_whose_seeds_are_loud_does_not_widen_the_others():
    chance = np.random.default_rng(1)
    arms = a_study(chance, truth_of(chance), seeds=3, louder=50.0)
    noise, others = noise_of(arms), noise_of([arm for arm in arms if arm.name != "c9"])
    assert noise.loud == {"c9"}
    assert (noise.within, noise.between) == (others.within, others.between)
    loud, quiet = (gap(arm, arms[0], noise, 1).half for arm in (arms[9], arms[8]))
    assert loud > 5 * quiet


def test_two_conditions_of_equal_seeds_are_students_paired_test():
    a, b = [2.01, 2.13, 2.08, 2.2], [2.0, 2.1, 2.09, 2.12]
    arms = [Arm("a", dict(enumerate(a))), Arm("b", dict(enumerate(b)))]
    own, textbook = gap(arms[0], arms[1], noise_of(arms), 1), stats.ttest_rel(a, b).confidence_interval()
    assert (own.low, own.high) == pytest.approx((textbook.low, textbook.high))


def test_two_conditions_of_other_seeds_are_students_test_of_two_samples():
    a, b = [2.01, 2.13, 2.08, 2.2], [2.0, 2.1, 2.09, 2.12]
    arms = [Arm("a", dict(enumerate(a))), Arm("b", dict(enumerate(b, 10)))]
    own, textbook = gap(arms[0], arms[1], noise_of(arms), 1), stats.ttest_ind(a, b).confidence_interval()
    assert (own.low, own.high) == pytest.approx((textbook.low, textbook.high))


def test_one_seed_without_samples_tells_nothing():
    arms = [Arm("a", {0: 2.0}), Arm("b", {0: 3.0})]
    own = gap(arms[0], arms[1], noise_of(arms), 1)
    assert (own.value, own.half, own.sign) == (-1.0, None, 0)


def test_the_change_of_a_difference_between_rungs_is_held():
    chance, held = np.random.default_rng(2), 0
    for _ in range(STUDIES):
        small, large = (a_study(chance, np.array([2.0, 2.0 + far, 2.1, 2.2])) for far in (0.05, 0.15))
        told = [(arms[1], arms[0], gap(arms[1], arms[0], noise_of(arms), 1)) for arms in (small, large)]
        own = change(*told)
        held += abs(own.value - 0.1) <= own.half
    assert at_least(held, CONFIDENCE)


def test_a_change_between_rungs_of_other_documents_has_the_errors_of_both():
    chance = np.random.default_rng(4)

    def a_rung(documents: str) -> tuple[Arm, Arm, Any]:
        pulls = chance.normal(0, 0.01, (2, DOCUMENTS))
        one, other = (Arm(str(i), {0: 2.0 + i}, pulls_S, documents) for i, pulls_S in enumerate(pulls))
        return one, other, gap(one, other, noise_of([one, other]), 1)

    small, large = a_rung("prose"), a_rung("code")
    assert change(small, large).half == pytest.approx(np.hypot(small[2].half, large[2].half))


def test_documents_that_are_others_are_not_paired():
    arms = [Arm(of, {0: 2.0}, np.ones(DOCUMENTS), of) for of in ("prose", "code")]
    assert gap(*arms, noise_of(arms), 1).half is None
