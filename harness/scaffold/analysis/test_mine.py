"""It keeps what its kind promises, finds what is there, and says where it cannot tell."""

from collections.abc import Sequence

import pytest

from harness.interfaces.analysis import Point
from harness.scaffold.analysis import MineConfig
from harness.testing import AnalysisKit
from harness.testing.analysis import ladder

ANALYSIS = MineConfig(name="mine")


class TestMine(AnalysisKit):
    config = ANALYSIS

    def points(self) -> Sequence[Point]:
        return [*ladder("one"), *ladder("other", above=0.1)]


def points(condition: str, *losses: float, N: float = 1e6) -> list[Point]:
    return [Point(N, 1e8, loss, seed=seed, condition=condition) for seed, loss in enumerate(losses)]


def test_the_lowest_loss_is_found() -> None:
    finding = ANALYSIS.analyse([*points("one", 3.20, 3.21), *points("other", 3.10, 3.11)])
    assert (finding.verdict, finding.values["best"]) == ("ok", "other")
    assert finding.values["difference"] == pytest.approx(0.1)
    assert "is lower than" in finding.sentences[0]


def test_what_seeds_explain_is_no_difference() -> None:
    finding = ANALYSIS.analyse([*points("one", 3.0, 3.2), *points("other", 3.05, 3.2)])
    assert "cannot be told from" in finding.sentences[0]


def test_smaller_models_do_not_count() -> None:
    largest = [*points("one", 3.20, 3.21), *points("other", 3.10, 3.11)]
    assert ANALYSIS.analyse([*largest, *points("one", 1.0, 1.0, N=1e5)]).values == ANALYSIS.analyse(largest).values


@pytest.mark.parametrize("found", [[], points("one", 3.2, 3.3), [*points("one", 3.2), *points("other", 3.1)]])
def test_too_few_conditions_or_seeds_are_not_enough_data(found: list[Point]) -> None:
    assert ANALYSIS.analyse(found).verdict == "not enough data"
