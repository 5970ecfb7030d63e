"""The joint law: fitted as by a slow, obvious optimiser; intervals that cover; refusals with their figures."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.stats import binom

from harness.interfaces.analysis import Point
from harness_plugins.analysis.chinchilla import ChinchillaConfig, law


def ladder(points):
    design = law.Design(np.array([p.N for p in points]), np.array([p.D for p in points]))
    return design, np.log([p.loss for p in points])


def objective(theta, design, log_loss):
    """Hoffmann et al.'s objective, as they write it, one point at a time. theta: (a, b, e, α, β)."""
    a, b, e, alpha, beta = theta
    total = 0.0
    for N, D, seen in zip(design.N, design.D, log_loss, strict=True):
        terms = [a - alpha * math.log(N), b - beta * math.log(D), e]
        largest = max(terms)
        residual = largest + math.log(sum(math.exp(term - largest) for term in terms)) - seen
        size = abs(residual)
        total += size**2 / 2 if size <= 1e-3 else 1e-3 * (size - 1e-3 / 2)
    return total


def value(points, theta_of_law):
    E, A, alpha, B, beta = theta_of_law
    return objective([math.log(A), math.log(B), math.log(E), alpha, beta], *ladder(points))


@pytest.mark.parametrize(("sizes", "budgets", "noise"), [(4, 3, 0.003), (6, 5, 0.01), (12, 8, 0.03)])
def test_the_fit_is_as_low_as_any_that_scipy_finds(ladders, sizes, budgets, noise):
    points = ladders.planted(sizes, budgets, noise, seed=sizes)
    design, log_loss = ladder(points)
    found = value(points, law.natural(law.fit(design, log_loss), design))
    true = ladders.law
    rng = np.random.default_rng(0)
    centre = np.array([math.log(true["A"]), math.log(true["B"]), math.log(true["E"]), true["alpha"], true["beta"]])
    spread = np.array([0.5, 0.5, 0.1, 0.03, 0.03])
    options = {"maxfev": 1000, "fatol": 1e-12}
    lowest = min(
        minimize(objective, start, (design, log_loss), method="Nelder-Mead", options=options).fun
        for start in centre + spread * rng.standard_normal((3, 5))
    )
    assert found <= lowest * (1 + 1e-6)


def test_each_resample_ends_at_the_minimum_that_many_starts_find(ladders):
    points = ladders.planted(5, 4, 0.01)
    design, log_loss = ladder(points)
    theta = law.fit(design, log_loss)
    rng = np.random.default_rng(1)
    resampled = log_loss + rng.normal(0, 0.01, (20, len(points)))
    from_the_fit = law.minimise(design, resampled, np.repeat(theta[None], 20, axis=0))
    for row, end in zip(resampled, from_the_fit, strict=True):
        ends = [law.value_and_jacobian(one[None], *design.centred)[0] for one in (end, law.fit(design, row))]
        ours, best = (float(law.huber(row - fitted)[0]) for fitted in ends)
        assert ours <= best * (1 + 1e-4)


def test_the_jacobian_is_the_derivative():
    design = law.Design(np.array([1e6, 1e7, 1e8]), np.array([3e8, 1e8, 1e9]))
    theta = np.array([0.1, -0.2, 0.5, 0.3, 0.4])
    _, jacobian = law.value_and_jacobian(theta[None], *design.centred)
    for point in range(3):
        slope = approx_fprime(theta, lambda t, at=point: law.value_and_jacobian(t[None], *design.centred)[0][0, at])
        assert jacobian[0, point] == pytest.approx(slope, abs=1e-6)


def test_an_exact_law_is_recovered(ladders):
    values = ChinchillaConfig(bootstraps=100).analyse(ladders.planted(6, 5, 1e-7)).values
    for name, true in ladders.law.items():
        assert values["parameters"][name]["value"] == pytest.approx(true, rel=1e-3)


def test_the_optimum_is_where_no_other_split_of_the_compute_is_better(ladders):
    true = np.array([ladders.law[name] for name in law.PARAMETERS])
    N, D = law.optimum(true, 1e20)
    assert pytest.approx(1e20) == 6 * N * D
    others = N * np.geomspace(0.01, 100, 2001)
    losses = law.loss(true, others, 1e20 / 6 / others)
    assert others[np.argmin(losses)] == pytest.approx(N, rel=0.01)


SIMULATIONS = 100


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "budgets", "noise"), [(5, 3, 0.003), (5, 4, 0.005), (6, 5, 0.01)])
def test_intervals_cover_the_planted_law_at_their_rate(ladders, sizes, budgets, noise):
    """95 % intervals of α, β, the optimum and the left-out rung, over ladders drawn anew. The bound is what a
    true rate of 95 % undercuts once in 1,000 times."""
    covered = {"alpha": 0, "beta": 0, "optimum": 0, "left out": 0.0}
    for seed in range(SIMULATIONS):
        points = ladders.planted(sizes, budgets, noise, seed=1000 + seed)
        values = ChinchillaConfig(bootstraps=400).analyse(points)
        left_out, values = values.tables["left out"], values.values
        for name in ("alpha", "beta"):
            row = values["parameters"][name]
            covered[name] += row["low"] <= ladders.law[name] <= row["high"]
        best = values["optimum"]
        N, _ = law.optimum(np.array([ladders.law[name] for name in law.PARAMETERS]), best["C"])
        covered["optimum"] += best["N_low"] <= N <= best["N_high"]
        covered["left out"] += np.mean([row["inside"] for row in left_out])
    least = binom.ppf(0.001, SIMULATIONS, 0.95)
    assert {name: count for name, count in covered.items() if count < least} == {}


def test_one_ratio_of_tokens_to_parameters_is_not_enough(ladders):
    points = [Point(N, 20 * N, ladders.loss(N, 20 * N)) for N in np.geomspace(1e7, 1e9, 12).tolist()]
    finding = ChinchillaConfig().analyse(points)
    assert finding.verdict == "not enough data"
    assert "1 distinct D/N (at least 3)" in finding.sentences[0]
    assert finding.drawings == []


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (lambda p: p.N < 5e7, ["2 distinct N (at least 3)"]),
        (lambda p: p.D < 1e9, ["2 distinct D (at least 3)"]),
        (lambda p: p.N < 5e7 and p.D < 1e9, ["4 different sizes", "2 distinct N", "2 distinct D"]),
        (lambda p: False, ["0 different sizes", "0 distinct N"]),
    ],
)
def test_each_thing_that_a_ladder_lacks_is_named_with_its_figure(ladders, keep, said):
    finding = ChinchillaConfig().analyse([point for point in ladders.planted(5, 5, 0.003) if keep(point)])
    assert finding.verdict == "not enough data"
    assert all(part in finding.sentences[0] for part in said), finding.sentences[0]


def test_a_narrow_ladder_is_not_enough(ladders):
    points = [Point(N, D, ladders.loss(N, D)) for N in (1e8, 1.2e8, 1.4e8, 2e8) for D in (1e9, 4e9, 16e9)]
    assert "N over a factor of 2 (at least 3)" in ChinchillaConfig().analyse(points).sentences[0]


def test_parameters_that_the_ladder_cannot_tell_apart_are_refused_by_their_condition():
    """Without any trend in D nothing tells B and β from E."""
    points = [Point(N, D, 1 + 100 * N**-0.3) for N in (1e6, 4e6, 16e6, 64e6) for D in (1e8, 2e8, 4e8)]
    finding = ChinchillaConfig().analyse(points)
    assert finding.verdict == "not enough data"
    assert "condition number" in finding.sentences[0]


def test_a_law_that_does_not_fit_is_said_first_and_its_residuals_are_shown(ladders):
    finding = ChinchillaConfig().analyse(ladders.trained())
    assert finding.verdict == "ok"
    assert finding.values["fits"] is False
    assert "does not fit" in finding.sentences[0]
    assert len(finding.tables["residuals"]) == 12
    assert max(abs(row["residual"]) for row in finding.tables["residuals"]) > 0.05


def test_with_seeds_their_noise_decides_whether_it_fits(ladders):
    points = ladders.planted(5, 4, 0.003, seeds=3)
    finding = ChinchillaConfig(bootstraps=100).analyse(points)
    assert finding.values["fits"] is True
    assert finding.values["seed_noise"] == pytest.approx(0.003 * np.mean([p.loss for p in points]), rel=0.4)
    bent = [Point(p.N, p.D, p.loss + 0.3 * (p.N > 2e8 and p.D > 1e9), seed=p.seed) for p in points]
    finding = ChinchillaConfig(bootstraps=100).analyse(bent)
    assert finding.values["fits"] is False
    assert "seed noise" in finding.sentences[0]


def test_a_diverged_run_is_left_out_and_named(ladders):
    points = [*ladders.planted(5, 4, 0.003), Point(1e8, 1e9, math.nan, run="lost-1")]
    finding = ChinchillaConfig(bootstraps=100).analyse(points)
    assert finding.verdict == "ok"
    assert any("lost-1" in sentence for sentence in finding.sentences)


def test_the_finding_is_the_same_again_fit_for_json_and_drawn(ladders):
    first, second = (ChinchillaConfig(bootstraps=100).analyse(ladders.planted(5, 4, 0.003)) for _ in range(2))
    assert json.loads(json.dumps([first.values, first.tables])) == json.loads(
        json.dumps([second.values, second.tables])
    )
    assert len(first.drawings) == 3
    for drawing in first.drawings:
        [axes] = drawing.figure().axes
        assert axes.get_xlabel()
        assert axes.get_ylabel()
