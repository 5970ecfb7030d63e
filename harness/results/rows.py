"""Run directories to rows of the tables `runs`, `scores`, `measures` and `options`.

A run directory that cannot be read is named in a warning and passed over: one damaged file must not hide
five thousand good ones.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.results.columns import MEASURES, RUNS, SCORES, Column, Row, at

log = logging.getLogger(__name__)


def run_rows(runs: str | Path) -> Iterator[Row]:
    return map(run_columns, run_manifests(runs))


def run_manifests(runs: str | Path) -> Iterator[Row]:
    """Of each run what `read_manifest` gives, with its `id`."""
    for folder in _folders(runs):
        if manifest := read_manifest(folder.path):
            yield {**manifest, "id": folder.name}


def run_row(path: str | Path) -> Row | None:
    """One run's row of the table `runs`; None where there is no run, or none that can be read."""
    manifest = read_manifest(path)
    return manifest and run_columns({**manifest, "id": os.path.basename(path)})


def read_manifest(path: str | Path) -> Row | None:
    """A run's manifest with its config.json as `config`; None where there is no run, or none that can be read."""
    return _guarded(path, _manifest)


def run_columns(manifest: Row) -> Row:
    """The columns of the table `runs` from what `read_manifest` gives."""
    return _row(RUNS, manifest)


def score_rows(runs: str | Path) -> Iterator[Row]:
    for folder in _folders(runs):
        yield from run_scores(folder.path)


def run_scores(path: str | Path) -> Iterator[Row]:
    """One run's rows of the table `scores`; none where they cannot be read."""
    for score in _guarded(path, _scores) or ():
        if isinstance(score, dict):
            score["run"] = os.path.basename(path)
            yield {c.name: _typed(c.type, score.get(c.name)) for c in SCORES}


def measure_rows(runs: str | Path) -> Iterator[Row]:
    for folder in _folders(runs):
        yield from run_measures(os.path.basename(folder.path), read_manifest(folder.path) or {})


def run_measures(run: str, manifest: Row) -> Iterator[Row]:
    """One run's rows of the table `measures`."""
    told = at(manifest, "result.held_out_measures")
    for name, found in told.items() if isinstance(told, dict) else ():
        if isinstance(found, dict):
            yield _row(MEASURES, {**found, "run": run, "name": name})


def option_rows(runs: str | Path) -> Iterator[Row]:
    for folder in _folders(runs):
        for key, value in leaves((read_manifest(folder.path) or {}).get("config", {})):
            yield {"run": folder.name, "key": key, "value": value if isinstance(value, str) else json.dumps(value)}


def _folders(runs: str | Path) -> list[os.DirEntry[str]]:
    """By name, without what is hidden (half-made, moved aside)."""
    try:
        with os.scandir(runs) as found:
            return sorted((f for f in found if not f.name.startswith(".") and f.is_dir()), key=lambda f: f.name)
    except OSError:
        raise UserError(f"There is no folder of runs at {runs}. Give the right one with runs=<folder>.") from None


def _manifest(path: str) -> Row | None:
    if not os.path.exists(f"{path}/manifest.json") and not os.path.exists(f"{path}/config.json"):
        return None  # a folder of somebody else's
    return {**_load(f"{path}/manifest.json", dict), "config": _load(f"{path}/config.json", dict, {})}


def _scores(path: str) -> Any:
    return _load(f"{path}/scores.json", list, [])


def _guarded(path: str | Path, read: Callable[[str], Any]) -> Any:
    try:
        return read(str(path))
    except (OSError, ValueError) as error:
        log.warning("Run %s is passed over: %s.", path, str(error).rstrip("."))
        return None


def _load(path: str, expected: type, missing: Any = None) -> Any:
    """A JSON file's content. Raises OSError or ValueError, naming the file."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read())
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise ValueError(f"{os.path.basename(path)} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{os.path.basename(path)} cannot be read ({error})") from None
    if not isinstance(value, expected):
        raise ValueError(f"{os.path.basename(path)} does not hold a {expected.__name__}")
    return value


def _row(columns: tuple[Column, ...], source: Row) -> Row:
    return {
        c.name: _typed(c.type, at(source, c.source) if isinstance(c.source, str) else c.source(source)) for c in columns
    }


def _typed(type: str, value: Any) -> Any:
    """The value if it is of the column's type, else None."""
    if type == "VARCHAR":
        return None if value is None else str(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if type == "DOUBLE":
        return float(value)
    return int(value) if math.isfinite(value) and abs(value) < 2**63 else None


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in nested mappings."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value
