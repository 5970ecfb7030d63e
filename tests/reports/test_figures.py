"""Intervals beside the points, and curves thinned without losing their ends."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reports.content import last_scores
from harness.reports.figures import POINTS, _thinned, interval, score_panel


@given(n=st.integers(1, 2000), data=st.data())
def test_a_shares_interval_is_where_its_score_test_accepts(n, data):
    """Wilson's interval holds the p with |share − p| ≤ 1.96 √(p(1 − p)/n): its ends solve that with equality."""
    share = data.draw(st.integers(0, n)) / n
    low, high = interval({"value": share, "n": n, "stderr": None}, proportion=True)
    assert 0 <= low <= share <= high <= 1
    for p in (low, high):
        if 0 < p < 1:
            assert abs(share - p) == pytest.approx(1.96 * math.sqrt(p * (1 - p) / n), abs=1e-9)


def test_other_metrics_have_the_normal_interval_or_none():
    assert interval({"value": -2.0, "n": 200, "stderr": 0.5}, proportion=False) == pytest.approx((-2.98, -1.02))
    assert interval({"value": -2.0, "n": 200, "stderr": None}, proportion=False) is None
    assert interval({"value": 0.5, "n": 200, "stderr": math.nan}, proportion=False) is None


@given(st.integers(1, 5000))
def test_a_thinned_curve_keeps_its_ends_and_order(count):
    points = [(1024 * (step + 1), 1 / (step + 1)) for step in range(count)]
    shown = _thinned(points)
    assert shown[0] == points[0]
    assert shown[-1] == points[-1]
    assert shown == sorted(set(shown))
    assert len(shown) <= POINTS + 2


def test_the_last_checkpoints_score_counts(study):
    report = study()
    early = [{**score, "checkpoint": 1, "value": -99.0} for score in report.scores]
    for scores in (early + report.scores, report.scores + early):
        report.scores = scores
        assert -99.0 not in [score["value"] for score in last_scores(report)]


@pytest.mark.parametrize("least", [1.0e9, 2.3e10, 6.9e14])
@pytest.mark.parametrize("factor", [1.01, 2.0, 3.2, 25.0, 1e3, 1e9])
def test_a_panels_axis_has_few_words(least, factor):
    rows = [
        {"id": str(x), "flops_6nd": x, "active_non_embedding": 1, "seed_init": 0, "seed_data": 0}
        for x in (least, least * factor)
    ]
    scores = [{"run": row["id"], "value": 0.5, "stderr": 0.1, "n": 9} for row in rows]
    axes = score_panel(rows, scores, "accuracy", [], proportion=True).axes[0]
    low, high = axes.get_xlim()
    assert 1 <= sum(low <= tick <= high for tick in axes.get_xticks()) <= 4


def test_the_names_of_levels_that_are_close_stay_apart_and_within_the_panel():
    levels = [("token bigram", 3.20), ("byte trigram", 3.17), ("token trigram", 3.16)]
    drawn = score_panel([], [], "bits per byte", levels, proportion=False)
    drawn.canvas.draw()
    (axes,) = drawn.axes
    places = [text.get_window_extent() for text in axes.texts]
    assert len(places) == 3
    assert not any(one.overlaps(other) for i, one in enumerate(places) for other in places[:i])
    assert all(place.y0 >= axes.get_window_extent().y0 for place in places)
