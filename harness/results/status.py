"""How far each run is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.lease import alive
from harness.results.columns import Row
from harness.results.rows import read_manifest, run_columns
from harness.results.varied import told_apart
from harness.rundir import RunDir

_ORDER = ["running", "killed", "failed", "interrupted", "new", "finished"]


def status(runs: Iterable[RunDir], varied: Mapping[str, str] | None = None) -> list[Row]:
    """How far each run is, from its manifest and its last line of metrics: by state, the running first.
    A run whose process is gone without a word is "killed"; the command that trained it goes on with it.
    varied: by id, what a study varies in it; where it says nothing, what tells the runs apart.

    Columns: id, varied, state, step, steps, loss (held out where the run is finished), loss_in (what it is told in),
    tokens_per_second, left (seconds at the present speed), ago (seconds since the last sign of life).
    """
    manifests = {run.path: {**manifest, "id": run.id} for run in runs if (manifest := read_manifest(run.path))}
    varied = varied or {}
    told = told_apart([manifest["config"] for manifest in manifests.values()])
    what = {path: varied.get(path.name, said) for path, said in zip(manifests, told, strict=True)}
    found = {path: run_columns(manifest) for path, manifest in manifests.items()}
    living = alive([folder for folder, row in found.items() if row["state"] == "running"])
    rows = [_progress(row, folder, what[folder], folder in living) for folder, row in found.items()]
    return sorted(rows, key=lambda row: (_ORDER.index(row["state"]) if row["state"] in _ORDER else 99, row["id"]))


def _progress(run: Row, folder: Path, varied: str, lives: bool) -> Row:
    finished = run["state"] == "finished"
    # A process that was killed could not say so; nobody holds the run's lease then.
    state = "killed" if run["state"] == "running" and not lives else run["state"]
    last, ago = ({}, None) if finished else last_metrics(folder)
    speed = run["tokens_per_second"] if finished else last.get("tokens_per_second")
    step = run["steps"] if finished else last.get("step")
    return {
        "id": run["id"],
        "varied": varied,
        "state": state,
        "step": step,
        "steps": run["steps"],
        "loss": run["held_out_loss"] if finished else last.get("loss"),
        "loss_in": run["loss_in"],
        "tokens_per_second": speed,
        "left": _left(run, step, speed) if state == "running" else None,
        "ago": ago,
    }


def _left(run: Row, step: Any, speed: Any) -> float | None:
    if not (step and speed and run["steps"] and run["tokens"]):
        return None
    return (run["steps"] - step) * run["tokens"] / run["steps"] / speed


def last_metrics(run: Path) -> tuple[Row, float | None]:
    """The last whole line of a run's metrics that has a loss, and the file's age in seconds; reads only its end."""
    try:
        with open(run / "metrics.jsonl", "rb") as file:
            ago = max(0.0, time.time() - os.fstat(file.fileno()).st_mtime)
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            lines = file.read().splitlines()
    except OSError:
        return {}, None
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "loss" in row:
            return row, ago
    return {}, ago
