"""A dot for each condition on each rung, in the colour of what is told of it."""

from harness.reports.ranking import Gap
from harness.reports.style import BLUE, GREY, RED
from harness.reports.whiskers import beside


def test_every_condition_has_its_line_and_its_verdicts_colour():
    own = {"good": -0.3, "equal": 0.01, "bad": 0.4}
    gaps = {name: Gap(value, (), ((0.01, 10),), 3) for name, value in own.items()}
    drawn = beside(
        ["good", "llama", "equal", "bad"], "llama", [("width=24", gaps), ("width=48", gaps)], "bits per byte"
    )
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["width=24", "width=48"]
    for axes in drawn.axes:
        dots = {line.get_ydata()[0]: line for line in axes.lines if line.get_marker() == "o"}
        assert {y: (dot.get_xdata()[0], dot.get_color()) for y, dot in dots.items()} == {
            0: (-0.3, BLUE), 2: (0.01, GREY), 3: (0.4, RED)
        }  # fmt: skip
