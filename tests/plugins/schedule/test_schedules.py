"""Schedules: closed forms of (step, steps)."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import ConfigError, from_mapping
from harness.identity import determining
from harness.registry import registry

NAMES = ("cosine", "linear", "warmup_stable_decay")
SHARES = st.floats(0, 1)
STEPS = st.integers(1, 2000)


def schedule(name: str, **options: Any) -> Any:
    return from_mapping(registry().get("schedule", name), {"name": name, **options})


def rates(name: str, steps: int, **options: Any) -> list[float]:
    one = schedule(name, **options)
    return [one.factor(step, steps) for step in range(steps)]


@pytest.mark.parametrize("name", NAMES)
@given(steps=STEPS, warmup=st.floats(0, 0.5), floor=SHARES)
def test_it_rises_to_at_most_the_peak_then_never_rises_again_nor_falls_below_the_floor(
    name: str, steps: int, warmup: float, floor: float
):
    found = rates(name, steps, warmup=warmup, floor=floor)
    rising = round(warmup * steps)
    assert all(a < b for a, b in pairwise(found[:rising]))
    assert all(a >= b for a, b in pairwise(found[rising:]))
    assert all(0 < rate <= 1 for rate in found)
    assert all(rate >= floor - 1e-12 for rate in found[rising:])


@pytest.mark.parametrize("name", NAMES)
@given(steps=st.integers(20, 2000))
def test_no_step_is_wasted_and_the_peak_is_reached_right_after_the_warm_up(name: str, steps: int):
    found = rates(name, steps, warmup=0.1, floor=0.0)
    assert min(found) > 0
    assert found[round(0.1 * steps)] == 1.0


def test_cosine_halfway_is_halfway_between_peak_and_floor():
    found = rates("cosine", 100, warmup=0.0, floor=0.2)
    assert found[50] == pytest.approx(0.6)
    assert found[25] == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)


def test_linear_falls_by_the_same_amount_each_step():
    assert rates("linear", 5, warmup=0.0, floor=0.5) == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6])


def test_warmup_stable_decay_is_level_until_the_decay():
    found = rates("warmup_stable_decay", 10, warmup=0.2, decay=0.5, floor=0.0)
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])


@given(steps=st.integers(10, 500), more=st.integers(1, 500))
def test_runs_of_two_lengths_share_all_but_the_ends(steps: int, more: int):
    """With warm-ups of equal length, a longer run is at the same rate until the shorter one decays."""
    short = rates("warmup_stable_decay", steps, warmup=2 / steps, decay=0.3)
    long = rates("warmup_stable_decay", steps + more, warmup=2 / (steps + more), decay=0.3)
    common = steps - round(0.3 * steps)
    assert short[:common] == long[:common]


@given(branches=st.lists(st.integers(20, 400), min_size=2, max_size=4), warmup=st.integers(0, 10))
def test_branches_of_one_trunk_are_at_its_rates_until_their_decay(branches: list[int], warmup: int):
    """With warm-up and decay in steps, at any lengths; the trunk is one without a decay."""
    trunk = rates("warmup_stable_decay", max(branches), warmup_steps=warmup, decay_steps=0)
    for steps in branches:
        found = rates("warmup_stable_decay", steps, warmup_steps=warmup, decay_steps=10)
        assert found[:-10] == trunk[: steps - 10]
        assert found[-10:] == pytest.approx([1 - k / 10 for k in range(10)])


def test_steps_win_over_shares():
    found = rates("warmup_stable_decay", 10, warmup=0.9, warmup_steps=1, decay=0.9, decay_steps=2)
    assert found == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 1, 1, 0.5])


@given(steps=st.integers(1, 50), warmup=st.integers(0, 60), decay=st.integers(0, 60))
def test_in_a_short_run_the_decay_takes_what_the_warm_up_leaves(steps: int, warmup: int, decay: int):
    found = rates("warmup_stable_decay", steps, warmup_steps=warmup, decay_steps=decay)
    rising = min(warmup, steps)
    assert all(a < b for a, b in pairwise(found[:rising]))
    assert all(a >= b for a, b in pairwise(found[rising:]))
    assert all(0 < rate <= 1 for rate in found)


def test_options_in_steps_change_no_id_until_they_are_given():
    assert not {"warmup_steps", "decay_steps"} & determining(schedule("warmup_stable_decay")).keys()
    assert determining(schedule("warmup_stable_decay", decay_steps=0))["decay_steps"] == 0


def test_warm_up_and_decay_fit_into_the_run():
    with pytest.raises(ConfigError, match="more than the whole run"):
        schedule("warmup_stable_decay", warmup=0.6, decay=0.5)
    schedule("warmup_stable_decay", warmup=0.6, decay=0.5, decay_steps=10)


@pytest.mark.parametrize("name", NAMES)
def test_shares_are_shares(name: str):
    with pytest.raises(ConfigError, match="warmup"):
        schedule(name, warmup=1.5)
