"""Tables of sizes: the other members of a family, which differ from a preset in a few values. A table is a CSV file
beside the preset: of `conf/architecture/gpt2.csv` each row is one that `architecture=` chooses.

The first columns are its name, the preset (or the other row) that it is a size `of`, and its line in the help; each
further column is an option at its dotted key. An empty cell leaves what that preset says; else a number, a word, true,
false or null stands there. Lines with a # in front are comments.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import ConfigError

COLUMNS = ["name", "of", "what"]


@dataclass(frozen=True)
class Size:
    """A row."""

    name: str
    of: str
    what: str
    values: dict[str, Any]  #: nested, as in a preset


def sizes_in(folder: Path) -> Iterator[Size]:
    """Those of all tables in a folder. Raises ConfigError where one is no table of sizes."""
    for file in sorted(folder.glob("*.csv")):
        yield from _rows(file)


def _rows(file: Path) -> Iterator[Size]:
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    columns, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines or [""], skipinitialspace=True))
    if columns[:3] != COLUMNS:
        raise ConfigError(
            f"{file} is no table of sizes: its columns are {', '.join(COLUMNS)} and then options such as width."
        )
    for row in rows:
        if len(row) != len(columns):
            raise ConfigError(f"{file}: the row {row[0]} has {len(row)} cells, and the columns are {len(columns)}.")
        name, of, what, *cells = row
        yield Size(name, of, what, _nested({key: cell for key, cell in zip(columns[3:], cells, strict=True) if cell}))


def _nested(cells: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for option, cell in cells.items():
        *path, last = option.split(".")
        inner = values
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = _value(cell)
    return values


def _value(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return {"true": True, "false": False, "null": None}.get(cell, cell)
