"""What every analysis promises: the same finding of the same points, one that people and programs can read, and "not
enough data" where there is little or nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from harness.interfaces.analysis import AnalysisConfig, Finding, Point
from harness.testing.check import sound

OK, TOO_LITTLE = "ok", "not enough data"


def ladder(condition: str = "", above: float = 0.0) -> list[Point]:
    """Six sizes at four budgets, with two seeds each; losses by a law of both, and a hundredth of a nat of noise."""
    rng = np.random.default_rng(0)
    return [
        Point(N, D, _loss(N, D) + above + float(rng.normal(0, 0.01)), 6 * N * D, seed, f"{N:g}-{D:g}-{seed}", condition)
        for N in np.geomspace(1e7, 1e9, 6).tolist()
        for D in np.geomspace(2e8, 2e10, 4).tolist()
        for seed in (0, 1)
    ]


def _loss(N: float, D: float) -> float:
    """Nats per token (Hoffmann et al. 2022, table of approach 3)."""
    return float(1.69 + 406.4 / N**0.34 + 410.7 / D**0.28)


def is_unreadable(finding: Finding) -> str | None:
    """Whether a report, or a program, could make nothing of it."""
    if finding.verdict not in (OK, TOO_LITTLE):
        return f"The verdict is {finding.verdict!r}, and not {OK!r} or {TOO_LITTLE!r}."
    if not finding.sentences or not all(sentence.strip() for sentence in finding.sentences):
        return f"There is no sentence that says what was found: {finding.sentences}."
    try:
        json.dumps([finding.values, finding.tables], allow_nan=False)
    except (TypeError, ValueError) as error:
        return f"values and tables are not ready for JSON: {error}."
    for drawing in finding.drawings:
        if not (drawing.title and drawing.caption):
            return "A drawing has no title, or no caption that says what it shows."
    return None


def changes_its_mind(config: AnalysisConfig, points: Sequence[Point]) -> str | None:
    """Whether the same points give two findings, also with other random numbers about."""
    found = []
    for seed in (0, 1):
        np.random.seed(seed), random.seed(seed)
        found.append(_told(config.analyse(list(points))))
    for name, before, after in zip(("verdict", "sentences", "values", "tables"), *found, strict=True):
        if before != after:
            return f"Asked twice of the same points, {name} differ: draw from a seed among the options."
    return None


def _told(finding: Finding) -> list[str]:
    """As JSON, in which what is no number is equal to itself."""
    own = (finding.verdict, finding.sentences, finding.values, finding.tables)
    return [json.dumps(each, sort_keys=True, default=str) for each in own]


def changes_the_points(config: AnalysisConfig, points: Sequence[Point]) -> str | None:
    """Whether those who are asked next would be given others."""
    given = list(points)
    config.analyse(given)
    return None if given == list(points) else "The points that it is given are changed, which others are given next."


def finds_in_nothing(config: AnalysisConfig, points: Sequence[Point]) -> str | None:
    """Whether no point, one point, or many equal ones are enough for it, or too little even to say so."""
    few = {"no point": [], "one point": list(points[:1]), "one point many times": [points[0]] * 20}
    for what, given in few.items():
        try:
            finding = config.analyse(given)
        except Exception as error:
            return f"Of {what} it says nothing but {type(error).__name__}: {error}."
        if finding.verdict != TOO_LITTLE:
            return f"Of {what} the verdict is {finding.verdict!r}."
        if fault := is_unreadable(finding):
            return f"Of {what}: {fault}"
    return None


def does_not_draw(finding: Finding) -> str | None:
    """Whether a drawing is no figure."""
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    for drawing in finding.drawings:
        figure = drawing.figure()
        if not isinstance(figure, Figure):
            return f"The drawing {drawing.title!r} is a {type(figure).__name__} and no matplotlib Figure."
        plt.close(figure)
    return None


class AnalysisKit:
    """Subclass it and give `config`, an `AnalysisConfig`; where a ladder of one condition is not enough,
    `points`.

        class TestMine(AnalysisKit):
            config = MyConfig(name="mine")
    """

    config: ClassVar[Any]

    def points(self) -> Sequence[Point]:
        """Enough for a finding."""
        return ladder()

    def test_what_is_enough_is_found_and_can_be_read(self) -> None:
        finding = self.config.analyse(list(self.points()))
        assert finding.verdict == OK, f"Of what is enough it says {finding.verdict!r}: {finding.sentences}"
        sound(is_unreadable(finding))

    def test_drawings_are_figures(self) -> None:
        sound(does_not_draw(self.config.analyse(list(self.points()))))

    def test_the_same_points_give_the_same_finding(self) -> None:
        sound(changes_its_mind(self.config, self.points()))

    def test_points_stay_as_they_are(self) -> None:
        sound(changes_the_points(self.config, self.points()))

    def test_next_to_nothing_is_not_enough(self) -> None:
        sound(finds_in_nothing(self.config, self.points()))
