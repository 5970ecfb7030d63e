"""Two runs side by side: what of their configs differs, what they are, and what their scores differ by."""

from __future__ import annotations

import json
import math
from typing import Any

from harness.results.columns import Row
from harness.results.losses import why_unlike
from harness.results.rows import leaves, run_columns, run_measures, run_scores
from harness.rundir import RunDir
from harness.scoring.paired import paired_error
from harness.scoring.samples import read_samples, samples_of

#: Those that are told in `loss_in`.
LOSSES = ("held_out_loss", "train_loss")

#: Columns of the table `runs` that say what a run amounts to and what came of it.
FIGURES = (
    "state", "parameters", "non_embedding", "active", "steps", "tokens", "unique_tokens", "epochs", "flops",
    "flops_6nd", "loss_in", *LOSSES, "seconds", "tokens_per_second", "code",
)  # fmt: skip

NO_DIFFERENCE: Row = {"difference": None, "stderr": None}


def compare(a: RunDir, b: RunDir) -> dict[str, Any]:
    """``config`` and ``fingerprint``: what differs, by dotted key; ``figures``: of the whole run; ``measures``: of
    held-out data, those that both have; ``scores``: those that both have, of each run's newest checkpoint that is
    scored; ``steps``: which these are. ``unlike``: why losses and measures have no difference; empty where they have.

    A difference is a − b, after it its standard error, from the samples they share (``paired``) or as if there were
    none. Raises UserError where a run's files are damaged.
    """
    manifests = [{**run.manifest(), "id": run.id, "config": run.config()} for run in (a, b)]
    rows = [run_columns(manifest) for manifest in manifests]
    measures = [{row["name"]: row for row in run_measures(manifest["id"], manifest)} for manifest in manifests]
    unlike = why_unlike(*manifests)
    newest = [_newest(run) for run in (a, b)]
    return {
        "a": str(a.path),
        "b": str(b.path),
        "config": _differences(a.config(), b.config()),
        "fingerprint": _differences(*(manifest.get("fingerprint") for manifest in manifests)),
        "unlike": unlike,
        "figures": [_figure(name, rows[0], rows[1], unlike) for name in FIGURES],
        "measures": [_measure(measures[0][n], measures[1][n], unlike) for n in measures[0] if n in measures[1]],
        "steps": [next(iter(scores.values()), {}).get("checkpoint") for scores in newest],
        "scores": [_score(a, b, newest[0][key], newest[1][key]) for key in newest[0] if key in newest[1]],
    }


def _differences(a: Any, b: Any) -> list[Row]:
    of_a, of_b = dict(leaves(a or {})), dict(leaves(b or {}))
    keys = [*of_a, *(key for key in of_b if key not in of_a)]
    both = [(key, _shown(of_a, key), _shown(of_b, key)) for key in keys]
    return [{"key": key, "a": one, "b": other} for key, one, other in both if one != other]


def _shown(values: dict[str, Any], key: str) -> str | None:
    """A value as one would type it; None where there is none."""
    if key not in values:
        return None
    return values[key] if isinstance(values[key], str) else json.dumps(values[key])


def _figure(name: str, a: Row, b: Row, unlike: str) -> Row:
    comparable = name not in LOSSES or not unlike
    found = _difference(a[name], b[name]) if comparable else NO_DIFFERENCE
    return {"what": name, "a": a[name], "b": b[name], **found}


def _measure(a: Row, b: Row, unlike: str) -> Row:
    found = NO_DIFFERENCE if unlike else _difference(a["value"], b["value"])
    return {"measure": a["name"], "a": a["value"], "b": b["value"], **found}


def _difference(a: Any, b: Any, error_a: Any = None, error_b: Any = None) -> Row:
    """The difference of two numbers, its error as if they had nothing in common. Two held-out losses have the same
    sequences in common, which no run keeps one by one: their difference has no error."""
    if not (isinstance(a, (int, float)) and isinstance(b, (int, float))):
        return NO_DIFFERENCE
    return {"difference": a - b, "stderr": None if None in (error_a, error_b) else math.hypot(error_a, error_b)}


# ------------------------------------------------------------------------------------------ scores


def _newest(run: RunDir) -> dict[tuple[str, str, str], Row]:
    """By suite, task and metric, the scores of the newest checkpoint that has any."""
    scores = [row for row in run_scores(run.path) if row["checkpoint"] is not None]
    last = max((row["checkpoint"] for row in scores), default=None)
    return {(row["suite"], row["task"], row["metric"]): row for row in scores if row["checkpoint"] == last}


def _score(a: RunDir, b: RunDir, of_a: Row, of_b: Row) -> Row:
    """One line. Two kinds of likelihood are no two values of one thing, and have no difference."""
    row = {"task": of_a["task"], "metric": of_a["metric"], "a": of_a["value"], "b": of_b["value"]}
    if of_a["likelihood"] != of_b["likelihood"]:
        return {**row, **NO_DIFFERENCE, "paired": False, "n": None}
    row |= _difference(of_a["value"], of_b["value"], of_a["stderr"], of_b["stderr"])
    paired = _paired(a, b, of_a, of_b) if row["difference"] is not None else None
    if paired is not None:
        row["stderr"] = paired
    return {**row, "paired": paired is not None, "n": of_a["n"] if of_a["n"] == of_b["n"] else None}


def _paired(a: RunDir, b: RunDir, of_a: Row, of_b: Row) -> float | None:
    paths = [samples_of(run, row) for run, row in ((a, of_a), (b, of_b))]
    if not all(path.is_file() for path in paths):
        return None
    both = [read_samples(path).to_pylist() for path in paths]
    return paired_error(both[0], both[1], of_a["metric"], of_a["value"], of_b["value"])
