"""The power laws' figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.interfaces.analysis import Drawing
from harness.reports import style
from harness.results.cells import Cell
from harness_plugins.analysis.power_law.law import Pooled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from harness_plugins.analysis.power_law.analysis import Curves

Rows = list[dict[str, Any]]
_MOST_NAMED = 8


def drawings(
    curves: Curves | None,
    kept: Curves | None,
    foretold: Rows,
    cells: Sequence[Cell],
    best: Sequence[Cell],
    compute: Pooled | None,
) -> list[Drawing]:
    made = []
    if compute is not None:
        caption = (
            f"Filled dots are the compute frontier: no run of as little compute is better. The line is fitted to them, "
            f"with its {compute.confidence:.0%} band."
        )
        made.append(Drawing("Loss against compute", caption, partial(_against_compute, cells, best, compute)))
    if curves is not None:
        caption = "One curve for each budget D."
        if kept is not None and foretold:
            caption += (
                f" The curves have not seen the largest N; the bars are what they foretell for it "
                f"({kept.pooled.confidence:.0%}), the dots what was seen."
            )
        shown = kept if kept is not None and foretold else curves
        made.append(Drawing("Loss against size", caption, partial(_against_size, shown, curves, foretold)))
        caption = "On the diagonal the curves are right. Crosses are the largest rung, foretold without having seen it."
        made.append(Drawing("Predicted against seen", caption, partial(_predicted, curves, foretold)))
        caption = "Seen over fitted loss, for the curves that have seen all rungs."
        made.append(Drawing("Residuals of L(N)", caption, partial(_residuals, curves)))
    return made


def _against_compute(cells: Sequence[Cell], best: Sequence[Cell], compute: Pooled) -> Figure:
    figure, axes = style.figure()
    curve = compute.curves[0]
    grid = np.geomspace(best[0].C, best[-1].C, 80)
    low, high = compute.band(curve, grid)
    axes.fill_between(grid, low, high, color=style.BLUE, alpha=0.18, linewidth=0)
    axes.plot(grid, np.exp(curve.log_loss(grid)), color=style.BLUE, linewidth=1.8)
    others = [cell for cell in cells if cell not in best]
    axes.scatter([c.C for c in others], [c.loss for c in others], s=26, facecolor="none", edgecolor=style.GREY)
    axes.scatter([c.C for c in best], [c.loss for c in best], s=30, color=style.BLUE, zorder=3)
    axes.set_xscale("log")
    style.log_losses(axes.yaxis)
    style.label(axes, "compute C (FLOPs, 6ND)", "loss (nats per token)")
    return figure


def _against_size(shown: Curves, curves: Curves, foretold: Rows) -> Figure:
    figure, axes = style.figure()
    all_sizes = [cell.N for line in curves.lines.values() for cell in line]
    for D, colour in _coloured(curves):
        line = curves.lines[D]
        axes.scatter([c.N for c in line], [c.loss for c in line], s=30, color=colour, label=_name(D), zorder=3)
        if D in shown.lines:
            sizes = np.geomspace(min(all_sizes), max(all_sizes), 60)
            axes.plot(sizes, np.exp(shown.by_budget[D].log_loss(sizes)), color=colour, linewidth=1.4)
    for row in foretold:
        reach = [[row["foretold"] - row["low"]], [row["high"] - row["foretold"]]]
        axes.errorbar(row["N"], row["foretold"], yerr=reach, fmt="_", color=style.RED, capsize=4, linewidth=1.4)
    style.log_sizes(axes.xaxis, all_sizes)
    style.log_losses(axes.yaxis)
    style.label(axes, "parameters N", "loss (nats per token)")
    _legend(axes, curves)
    return figure


def _predicted(curves: Curves, foretold: Rows) -> Figure:
    figure, axes = style.figure(height=5.2)
    for D, colour in _coloured(curves):
        curve = curves.by_budget[D]
        axes.scatter(np.exp(curve.y - curve.residual), np.exp(curve.y), s=30, color=colour, label=_name(D))
    for place, row in enumerate(foretold):
        reach = [[row["foretold"] - row["low"]], [row["high"] - row["foretold"]]]
        text = "left out, foretold" if not place else None
        axes.errorbar(row["foretold"], row["loss"], xerr=reach, fmt="x", color=style.RED, linewidth=1.2, label=text)
    losses = [cell.loss for line in curves.lines.values() for cell in line]
    axes.plot([min(losses), max(losses)], [min(losses), max(losses)], color=style.GREY, linewidth=1, zorder=0)
    for axis in (axes.xaxis, axes.yaxis):
        style.log_losses(axis)
    style.label(axes, "predicted loss (nats per token)", "seen loss (nats per token)")
    _legend(axes, curves)
    return figure


def _residuals(curves: Curves) -> Figure:
    figure, axes = style.figure(height=3.6)
    axes.axhline(0, color=style.GREY, linewidth=1)
    for D, colour in _coloured(curves):
        sizes, percent = [cell.N for cell in curves.lines[D]], 100 * np.expm1(curves.by_budget[D].residual)
        axes.plot(sizes, percent, "o-", color=colour, markersize=5, linewidth=1, label=_name(D))
    style.log_sizes(axes.xaxis, [cell.N for line in curves.lines.values() for cell in line])
    style.label(axes, "parameters N", "seen over fitted (%)")
    _legend(axes, curves)
    return figure


def _coloured(curves: Curves) -> list[tuple[float, str]]:
    return list(zip(curves.lines, style.ramp(len(curves.lines)), strict=True))


def _name(D: float) -> str:
    return f"D = {style.size(D)}"


def _legend(axes: Any, curves: Curves) -> None:
    if len(curves.lines) <= _MOST_NAMED:
        style.legend(axes)
