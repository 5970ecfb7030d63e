"""matplotlib figures to SVG: the same bytes for the same data, text that stays text, colours that follow the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from harness.reports import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The neutral colours of `harness.reports.style`. On the page they become CSS variables of these names, so that figures
#: follow the reader's light or dark; a file of its own keeps them as they are.
NEUTRAL = {"figure-ink": style.INK, "figure-grid": style.GRID, "paper": style.PAPER}

SETTINGS: Any = {
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "text.color": style.INK,
    "font.family": "sans-serif",
    "mathtext.default": "regular",
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
}


@contextmanager
def settings() -> Iterator[None]:
    """matplotlib's settings while a figure of ours, or of an analysis, is drawn and written."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def to_svg(draw: Callable[[], Figure]) -> str:
    """A figure as an SVG document without dates and with ids that depend on the drawing alone."""
    out = io.StringIO()
    with settings():
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure = draw()
        box = None if figure.get_layout_engine() else "tight"  # where nothing sees to it that no label is cut off
        figure.savefig(out, format="svg", bbox_inches=box, metadata=nothing)
    return out.getvalue()


def inline(svg: str, name: str, label: str) -> str:
    """An SVG document as an element of a page: ids told apart by `name`, neutral colours as CSS variables.

    label: plain text, for readers who cannot see it; it is escaped here.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    opening, rest = body.split(">", 1)
    box = re.search(r'viewBox="([^"]*)"', opening)
    assert box, "matplotlib gives every SVG a viewBox"
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", rest)
    rest = re.sub(r'style="[^"]*"', _themed, rest)
    xlink = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg role="img" aria-label="{escape(label)}" viewBox="{box[1]}" {xlink}>{rest}'


def _themed(css: re.Match[str]) -> str:
    text = css[0].replace("#000000", f"var(--figure-ink, {style.INK})")
    for name, colour in NEUTRAL.items():
        text = text.replace(colour, f"var(--{name}, {colour})")
    return text
