"""Points averaged over seeds, and what can be read off them without a law."""

import math

import pytest

from harness.interfaces.analysis import Point
from harness.results.cells import averaged, budgets, distinct, finite, remarks, rises, seed_noise, steps


def test_seeds_are_averaged_and_their_noise_is_pooled():
    points = [
        Point(1, 10, 3.0, seed=0),
        Point(1, 10, 3.2, seed=1),
        Point(2, 10, 2.0, seed=0),
        Point(2, 10, 2.4, seed=1),
    ]
    cells = averaged([*points, Point(3, 10, 1.5)])
    assert [(cell.N, cell.seeds) for cell in cells] == [(1, 2), (2, 2), (3, 1)]
    assert [cell.loss for cell in cells] == pytest.approx([3.1, 2.2, 1.5])
    noise = seed_noise(points)
    assert noise.freedom == 2
    assert noise.nats == pytest.approx(math.sqrt((2 * 0.1**2 + 2 * 0.2**2) / 2))


def test_what_conditions_differ_by_is_no_seed_noise():
    losses = {"rotary": (3.0, 3.2), "alibi": (4.0, 4.2)}
    points = [
        Point(1, 10, loss, seed=seed, run=f"{name}{seed}", condition=name)
        for name, both in losses.items()
        for seed, loss in enumerate(both)
    ]
    noise = seed_noise(points)
    assert (noise.nats, noise.freedom) == (pytest.approx(math.sqrt(2 * 0.1**2)), 2)
    first, last = remarks(points, [], noise)
    assert first.startswith("The runs are of 2 conditions, and this law is that of their mean.")
    assert "Seeds alone move the loss by 0.141 nats (standard deviation, 2 d.f., within the 2 conditions)" in last


def test_without_seeds_there_is_no_estimate_of_noise():
    assert seed_noise([Point(1, 10, 3.0), Point(2, 10, 2.0)]) is None
    assert "no estimate of seed noise" in remarks([], [], None)[0]


def test_runs_that_differ_in_more_than_scale_and_seed_are_told():
    ladder = [Point(N, 10, 3.0, seed=seed, run=f"{N}-{seed}") for N in (1, 2) for seed in (0, 1)]
    assert not any("share size" in sentence for sentence in remarks(ladder, [], None))
    assert (
        "2 runs share size, budget and seed" in remarks([*ladder, Point(1, 10, 2.0, seed=1, run="other")], [], None)[0]
    )


def test_compute_is_6ND_where_none_is_given():
    assert [cell.C for cell in averaged([Point(2, 10, 3.0), Point(3, 10, 3.0, C=7.0)])] == [120, 7]


def test_runs_that_diverged_are_set_apart_and_named():
    good, bad = finite([Point(1, 10, 3.0), Point(1, 10, math.nan, run="a"), Point(1, 10, math.inf), Point(1, 0, 2.0)])
    assert len(good) == 1
    assert len(bad) == 3
    assert "a, N = 1, D = 10" in remarks(good, bad, None)[0]


def test_budgets_rounded_to_whole_steps_are_one_budget():
    cells = averaged([Point(1, 1000, 3.0), Point(2, 1005, 2.9), Point(1, 2000, 2.5)])
    assert {D: [cell.N for cell in line] for D, line in budgets(cells).items()} == {1000: [1, 2], 2000: [1]}
    assert distinct([1000, 2000, 1005]) == [1000, 2000]


def test_rises_are_found_along_both_directions():
    loss = {(1, 10): 3.0, (2, 10): 3.1, (4, 10): 2.9, (1, 20): 2.8, (2, 20): 2.7, (4, 20): 2.95}
    cells = averaged([Point(N, D, value) for (N, D), value in loss.items()])
    assert len(steps(cells)) == 2 * 2 + 3
    assert [(row["along"], row["N"], row["D"], round(row["rise"], 6)) for row in rises(cells)] == [
        ("N", 2, 10, 0.1),
        ("N", 4, 20, 0.25),
        ("D", 4, 20, 0.05),
    ]
