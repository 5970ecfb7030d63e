"""The figures that every report has. Each function returns a matplotlib Figure; none uses pyplot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.reports.content import Row, finished, loss_label
from harness.reports.style import INK, PAPER, figure, label, log_losses, ramp, size
from harness.reports.words import is_number, power_of_ten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 240  #: of one curve; more cannot be seen
ENDS = ((1.0, "right"), (0.0, "left"), (0.5, "center"))  #: where lines across a panel are named, in turn


def colours(rows: Sequence[Row]) -> dict[Any, str]:
    """One colour for each model size, the same in every figure."""
    sizes = sorted({row["active_non_embedding"] for row in rows if row["active_non_embedding"]})
    return dict(zip(sizes, ramp(len(sizes)), strict=True))


def loss_curves(rows: Sequence[Row], curves: Mapping[str, Sequence[tuple[int, int, float]]]) -> Figure:
    """Training loss over tokens; a dot for the held-out loss at the end."""
    drawn, axes = figure()
    label(axes, "training tokens", loss_label(rows, "loss"))
    colour = colours(rows)
    for row in rows:
        points = [(tokens, loss) for _, tokens, loss in curves.get(row["id"], ()) if tokens > 0 and is_number(loss)]
        shown = _thinned(points)
        axes.plot([x for x, _ in shown], [y for _, y in shown], color=_of(colour, row), linewidth=1.0, alpha=0.85)
    for row in finished(list(rows)):
        axes.plot(
            row["tokens"],
            row["held_out_loss"],
            "o",
            color=_of(colour, row),
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
            zorder=3,
        )
    _logarithmic(axes, size)
    log_losses(axes.yaxis)
    _legend(axes, colour)
    return drawn


def loss_against_compute(rows: Sequence[Row], shown: Sequence[Row]) -> Figure:
    """Held-out loss over training compute, 95 % intervals, lines through each model size. rows: all runs, of whose
    sizes the colours are; shown: finished ones."""
    drawn, axes = figure()
    label(axes, "training compute C (FLOPs, 6ND)", loss_label(rows, "held-out loss"))
    colour = colours(rows)
    _by_size(
        axes,
        [(row, row["held_out_loss"], _normal(row["held_out_loss"], row["held_out_stderr"])) for row in shown],
        colour,
    )
    _logarithmic(axes, power_of_ten)
    log_losses(axes.yaxis)
    _legend(axes, colour)
    return drawn


def score_panel(
    rows: Sequence[Row], scores: Sequence[Row], title: str, levels: Sequence[tuple[str, float]], proportion: bool
) -> Figure:
    """One metric of one task over training compute, with 95 % intervals; levels: names and heights of dashed lines."""
    drawn, axes = figure(3.4, 2.5)
    by_run = {row["id"]: row for row in rows}
    known = [score for score in scores if score["run"] in by_run and is_number(score["value"])]
    _by_size(axes, [(by_run[s["run"]], s["value"], interval(s, proportion)) for s in known], colours(rows))
    for i, (name, value) in enumerate(sorted(levels, key=lambda level: -level[1])):
        _level(axes, value, name, ENDS[i % len(ENDS)])  # so that the names of lines that are close stay apart
    axes.set_title(title, loc="left", fontsize=9.5, color=INK, parse_math=False)
    axes.set_xlabel("training compute C (FLOPs, 6ND)", fontsize=9, color=INK)
    axes.tick_params(labelsize=9)
    _logarithmic(axes, power_of_ten, most=4)
    return drawn


def interval(score: Row, proportion: bool) -> tuple[float, float] | None:
    """The 95 % interval of a score: Wilson's for a share of n samples, which has a width at 0 and 1 too (Wilson 1927),
    else ± 1.96 standard errors; None where neither is known.

    >>> low, high = interval({"value": 0.0, "n": 200, "stderr": 0.0}, proportion=True)
    >>> (low, round(high, 4))
    (0.0, 0.0188)
    """
    value, n = score["value"], score.get("n")
    if not (proportion and n and 0 <= value <= 1):
        return _normal(value, score.get("stderr"))
    z2 = 1.96**2
    centre = (value + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 * math.sqrt(value * (1 - value) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half))  # against rounding at 0 and 1


def _normal(value: float, stderr: Any) -> tuple[float, float] | None:
    return (value - 1.96 * stderr, value + 1.96 * stderr) if is_number(stderr) else None


def _by_size(
    axes: Axes, values: Sequence[tuple[Row, float, tuple[float, float] | None]], colour: dict[Any, str]
) -> None:
    """Values over compute; a thin line joins the runs of one size, seed and condition."""
    lines: dict[Any, list[tuple[float, float]]] = {}
    for row, value, bar in values:
        if not row["flops_6nd"]:
            continue
        if bar:
            axes.vlines(row["flops_6nd"], *bar, color=_of(colour, row), linewidth=1.1, alpha=0.6)
        axes.plot(
            row["flops_6nd"], value, "o", color=_of(colour, row), markeredgecolor=PAPER, markeredgewidth=0.6, zorder=3
        )
        alike = (row["active_non_embedding"], row["seed_init"], row["seed_data"], row.get("condition"), row.get("lr"))
        lines.setdefault(alike, []).append((row["flops_6nd"], value))
    for (count, *_), points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), color=colour.get(count, INK), linewidth=0.9, alpha=0.55)


def _logarithmic(axes: Axes, words: Callable[[float], str], most: int = 10) -> None:
    """A logarithmic axis of x, ticks at powers of ten, or at 1, 2, 5 of each where there are few; at most so many as
    there is room for the words of."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    every = LogLocator(subs=(1,) if high > 30 * low else (1, 2, 5)).tick_values(low, high)
    ticks = [tick for tick in every if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks[:: math.ceil(len(ticks) / most) or 1]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _level(axes: Axes, y: float, name: str, end: tuple[float, str]) -> None:
    """A dashed line across the axes, named above it. end: where, as a share of the width, and what of the name."""
    x, of = end
    axes.axhline(y, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.8, zorder=1)
    axes.annotate(
        name, (x, y), xycoords=("axes fraction", "data"), xytext=(0, 2.5),
        textcoords="offset points", ha=of, va="bottom", fontsize=8, color=INK,
        parse_math=False,
    )  # fmt: skip


def _legend(axes: Axes, colour: dict[Any, str]) -> None:
    """The sizes above the axes: at most eight, the ends among them."""
    from matplotlib.lines import Line2D

    sizes = list(colour)
    shown = sizes if len(sizes) <= 8 else [sizes[round(i * (len(sizes) - 1) / 7)] for i in range(8)]
    handles = [
        Line2D([], [], color=colour[count], marker="o", linewidth=1.4, label=f"N = {size(count)}") for count in shown
    ]
    if handles:
        axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(4, len(handles)), borderaxespad=0.2,
            frameon=False, fontsize=9.5, handlelength=1.2, columnspacing=1.4,
        )  # fmt: skip


def _of(colour: dict[Any, str], row: Row) -> str:
    return colour.get(row["active_non_embedding"], INK)


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """About `POINTS` of them, evenly over the logarithm of tokens, which is how they are shown."""
    if len(points) <= POINTS:
        return points
    first, last = math.log(points[0][0]), math.log(points[-1][0])
    kept, bin_before = [], -1
    for x, y in points[:-1]:
        if (bin := int(POINTS * (math.log(x) - first) / max(last - first, 1e-9))) > bin_before:
            kept.append((x, y))
            bin_before = bin
    return [*kept, points[-1]]
