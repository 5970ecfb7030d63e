"""The joint law's figures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.interfaces.analysis import Drawing
from harness.reports import style
from harness.results.cells import distinct
from harness_plugins.analysis.chinchilla import law

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from harness_plugins.analysis.chinchilla.analysis import Fitted

Rows = list[dict[str, Any]]


def drawings(fitted: Fitted, left_out: Rows) -> list[Drawing]:
    percent = f"{fitted.confidence:.0%}"
    return [
        Drawing(
            "Loss against compute",
            f"Each dot is a trained size and budget; the line is the least loss that the law allows for C = 6ND, "
            f"with its {percent} band.",
            partial(_against_compute, fitted),
        ),
        Drawing(
            "Predicted against seen",
            f"On the diagonal the law is right. Crosses are the largest rung, foretold without having seen it, with "
            f"{percent} intervals.",
            partial(_predicted, fitted, left_out),
        ),
        Drawing(
            "Residuals of the joint law",
            "Seen over predicted loss. A law that fits leaves no order in N or D.",
            partial(_residuals, fitted),
        ),
    ]


def _against_compute(fitted: Fitted) -> Figure:
    figure, axes = style.figure()
    compute = 6 * fitted.design.N * fitted.design.D
    grid = np.geomspace(compute.min(), compute.max(), 80)
    low, high = fitted.interval(partial(_frontier, compute=grid), len(grid))
    axes.fill_between(grid, low, high, color=style.BLUE, alpha=0.18, linewidth=0)
    axes.plot(grid, _frontier(fitted.law[None], grid), color=style.BLUE, linewidth=1.8, label="compute-optimal")
    seen = np.exp(fitted.log_loss)
    _by_budget(
        fitted, lambda chosen, colour, text: axes.scatter(compute[chosen], seen[chosen], s=30, color=colour, label=text)
    )
    axes.set_xscale("log")
    style.log_losses(axes.yaxis)
    style.label(axes, "compute 6ND (FLOPs)", "loss (nats per token)")
    style.legend(axes)
    return figure


def _frontier(laws: law.Array, compute: law.Array) -> law.Array:
    """The least loss at each compute, each by a law of its own: (…, grid, 5) over compute (grid,) to (…, grid)."""
    return law.each(laws, *law.optimum(laws, compute))


def _predicted(fitted: Fitted, left_out: Rows) -> Figure:
    figure, axes = style.figure(height=5.2)
    seen = np.exp(fitted.log_loss)
    predicted = law.loss(fitted.law, fitted.design.N, fitted.design.D)
    ends = [min(seen.min(), predicted.min()), max(seen.max(), predicted.max())]
    axes.plot(ends, ends, color=style.GREY, linewidth=1)
    _by_budget(
        fitted,
        lambda chosen, colour, text: axes.scatter(predicted[chosen], seen[chosen], s=30, color=colour, label=text),
    )
    _foretold(axes, left_out)
    for axis in (axes.xaxis, axes.yaxis):
        style.log_losses(axis)
    style.label(axes, "predicted loss (nats per token)", "seen loss (nats per token)")
    style.legend(axes)
    return figure


def _foretold(axes: Axes, left_out: Rows) -> None:
    if not left_out:
        return
    x, y = ([row[key] for row in left_out] for key in ("foretold", "loss"))
    reach = np.array([[row["foretold"] - row["low"], row["high"] - row["foretold"]] for row in left_out]).T
    axes.errorbar(x, y, xerr=reach, fmt="x", color=style.RED, markersize=7, linewidth=1.2, label="left out, foretold")


def _residuals(fitted: Fitted) -> Figure:
    figure, axes = style.figure(height=3.6)
    percent = 100 * np.expm1(fitted.residual)
    axes.axhline(0, color=style.GREY, linewidth=1)

    def line(chosen: Any, colour: Any, text: str) -> None:
        order = np.argsort(fitted.design.N[chosen])
        axes.plot(
            fitted.design.N[chosen][order],
            percent[chosen][order],
            "o-",
            color=colour,
            markersize=5,
            linewidth=1,
            label=text,
        )

    _by_budget(fitted, line)
    style.log_sizes(axes.xaxis, fitted.design.N.tolist())
    style.label(axes, "parameters N", "seen over predicted (%)")
    style.legend(axes)
    return figure


def _by_budget(fitted: Fitted, draw: Callable[[Any, Any, str], Any], most: int = 6) -> None:
    """draw(which points, colour, label) for each budget, dark to light; where they are many, only some are labelled."""
    levels = distinct(fitted.design.D)
    edges = [*levels[1:], np.inf]
    named = set(np.linspace(0, len(levels) - 1, min(most, len(levels))).astype(int).tolist())
    for place, (low, high, colour) in enumerate(zip(levels, edges, style.ramp(len(levels)), strict=True)):
        chosen = np.logical_and(low <= fitted.design.D, high > fitted.design.D)
        draw(chosen, colour, f"D = {style.size(low)}" if place in named else "_nolegend_")
