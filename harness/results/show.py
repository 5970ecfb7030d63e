"""Rows for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import sys
from collections.abc import Callable
from typing import Any

from harness.results.columns import Row

#: A terminal's table ends here; the other formats have no end.
LONGEST_TABLE = 200


def render(rows: list[Row], format: str = "table") -> str:
    """The rows as ``table`` (for a terminal), ``csv`` or ``json``, without a newline at its end."""
    return _FORMATS[format](rows).rstrip("\n")


def _table(rows: list[Row]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return "No rows.\n"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        numeric = all(isinstance(row[name], (int, float, type(None))) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", no_wrap=numeric or name in ("id", "run"))
    for row in rows[:LONGEST_TABLE]:
        table.add_row(*(Text(_short(name, value)) for name, value in row.items()))
    # Into a pipe, nothing is cut off.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    lines = [line.rstrip() for line in out.getvalue().strip("\n").split("\n")]
    if len(rows) > LONGEST_TABLE:
        lines.append(f"{len(rows) - LONGEST_TABLE:,} more rows: --csv and --json give all, --sql chooses.")
    return "\n".join(lines) + "\n"


def _short(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name in ("left", "ago"):
        return duration(value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> [duration(s) for s in (9.6, 75, 3700, 200_000)]
    ['10 s', '1 min 15 s', '1 h 1 min', '2 d 7 h']
    """
    whole = round(seconds)
    for size, unit, below, unit_below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // below} {unit_below}"
    return f"{whole} s"


def _csv(rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    if rows:
        writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _json(rows: list[Row]) -> str:
    """JSON as every reader takes it: what is not a finite number becomes null."""
    return json.dumps(finite(rows), indent=1, default=str) + "\n"


def finite(value: Any) -> Any:
    """The same, with null for every number that is not finite, which JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_FORMATS: dict[str, Callable[[list[Row]], str]] = {"table": _table, "csv": _csv, "json": _json}
