"""A table of losses from any source, as points for a law."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import UserError, suggest
from harness.interfaces.analysis import Point

#: What a column may be called; letter case, spaces, dashes and underscores do not matter.
ALIASES = {
    "N": ("n", "params", "parameters", "modelsize", "nparams"),
    "D": ("d", "tokens", "trainingtokens", "ntokens"),
    "loss": ("loss", "l", "validationloss", "valloss", "testloss"),
    "C": ("c", "flops", "trainingflops", "compute", "flop"),
    "seed": ("seed",),
    "run": ("run", "id", "runid", "name"),
}
_NEEDED = ("N", "D", "loss")


def points_from_csv(path: str | Path) -> list[Point]:
    """The rows of a CSV file with the columns N, D (numbers) and loss (nats per token).

    Optional are C (FLOPs), seed and run. Other columns are passed over.

    Raises UserError that names the file, and the line and column where there is one.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, None)
            if not header:
                raise UserError(f"{path} is empty: its first line has to name the columns N, D and loss.")
            columns = _columns(header, path)
            points = [
                _point(row, columns, f"{path}, line {reader.line_num}") for row in reader if any(map(str.strip, row))
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{path} cannot be read as CSV: {reason}.") from None
    if not points:
        raise UserError(f"{path} has a header but no rows: each trained model is one row with N, D and loss.")
    return points


def _columns(header: Sequence[str], path: Path) -> dict[str, int]:
    names = ["".join(letter for letter in name.casefold() if letter.isalnum()) for name in header]
    columns = {}
    for field, aliases in ALIASES.items():
        places = [place for place, name in enumerate(names) if name in aliases]
        if len(places) > 1:
            both = " and ".join(header[place] for place in places)
            raise UserError(f"{path}, line 1: the columns {both} both mean {field}. Keep one of them.")
        if places:
            columns[field] = places[0]
        elif field in _NEEDED:
            raise UserError(f"{path}, line 1: there is no column {field}. {suggest(field, header)}")
    return columns


def _point(row: Sequence[str], columns: Mapping[str, int], where: str) -> Point:
    def text(field: str) -> str:
        place = columns.get(field, len(row))
        return row[place].strip() if place < len(row) else ""

    def number(field: str) -> float:
        try:
            value = float(text(field))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"{where}, column {field}: {text(field)!r} is not a number above 0.")
        return value

    C = number("C") if text("C") else math.nan
    return Point(number("N"), number("D"), number("loss"), C, _seed(text("seed"), where), text("run"))


def _seed(text: str, where: str) -> int:
    try:
        return int(text or 0)
    except ValueError:
        raise UserError(f"{where}, column seed: {text!r} is not a whole number.") from None
