"""Dots and whiskers: how far each condition lies from the one that all are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.reports.ranking import Gap
from harness.reports.style import BLUE, GREY, INK, RED, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: By the sign of a difference that is told.
COLOURS = {-1: BLUE, 0: GREY, 1: RED}

#: A rung's name, and the difference of each condition on it.
Panel = tuple[str, Mapping[str, Gap]]


def beside(order: Sequence[str], reference: str, panels: Sequence[Panel], measure: str) -> Figure:
    """A panel for each rung, a line for each condition, the best on top. Blue is better, red is worse."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.0, 1.2 + 0.28 * len(order)), dpi=100, layout="constrained")
    for axes, (name, gaps) in zip(drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        style(axes)
        axes.axvline(0, color=INK, linewidth=0.8)
        for y, condition in enumerate(order):
            if condition in gaps:
                own = gaps[condition]
                if own.low is not None and own.high is not None:
                    axes.hlines(y, own.low, own.high, color=COLOURS[own.sign], linewidth=1.4)
                axes.plot(own.value, y, "o", color=COLOURS[own.sign], markersize=5)
            elif condition == reference:
                axes.plot(0, y, "D", color=INK, markersize=4)
        axes.set_title(name, loc="left", fontsize=9.5, color=INK, parse_math=False)
        axes.set_yticks(range(len(order)), list(order), parse_math=False)
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.set_xlabel(f"difference of {measure}", fontsize=9, color=INK)
        axes.tick_params(labelsize=9)
    return drawn
