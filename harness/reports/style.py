"""How figures look: one size, one palette, labelled axes, nothing that carries no information.

Figures are made without pyplot, so that they need no display and leave no state behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK = "#222222"
GRID = "#e8e8e8"
PAPER = "#ffffff"
GREY = "#8a8a8a"
BLUE = "#0072b2"  #: Okabe & Ito's palette, which every eye can tell apart
RED = "#d55e00"


def figure(width: float = 7.0, height: float = 4.2) -> tuple[Figure, Axes]:
    """A figure of so many inches (700 pixels wide at 100 dots per inch) with one set of axes."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), dpi=100, layout="constrained")
    return drawn, style(drawn.add_subplot())


def style(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=INK, labelsize=10, color=GREY)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=11, color=INK)
    axes.set_ylabel(y, fontsize=11, color=INK)


def legend(axes: Axes, title: str = "") -> None:
    axes.legend(frameon=False, fontsize=9.5, title=title or None, title_fontsize=9.5)


def ramp(count: int) -> list[str]:
    """Colours for `count` values in order, cool to warm, all of middling lightness: seen on white and on near-black."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    colours = LinearSegmentedColormap.from_list("ramp", ["#3f74b5", "#2b9a84", "#b18a1e", "#cf5a3c", "#a8447f"])
    return [to_hex(colours(place / max(count - 1, 1))) for place in range(count)]


def size(value: float) -> str:
    """A count as people write it.

    >>> size(7049), size(195_000), size(2e6), size(6.74e9)
    ('7.05 k', '195 k', '2 M', '6.74 B')
    """
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g}"


def log_sizes(axis: Axis, values: Sequence[float], most: int = 6) -> None:
    """A logarithmic axis with a tick at each size there is, or at powers of ten where those are too many."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    _logarithmic(axis)
    ticks = sorted(set(values))
    if len(ticks) <= most:
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))


def log_losses(axis: Axis) -> None:
    """A logarithmic axis for losses, which seldom span a decade: plain round numbers as ticks."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    _logarithmic(axis)
    axis.set_major_locator(MaxNLocator(9, steps=[1, 2, 2.5, 5, 10]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _logarithmic(axis: Axis) -> None:
    axes = axis.axes
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
