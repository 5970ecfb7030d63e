"""What a report says, before it is a page: a study's question, its runs, and what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.interfaces.analysis import Finding
from harness.reports.words import is_number
from harness.results.losses import kinds_of_loss, of_kinds
from harness.results.rows import run_columns

Row = dict[str, Any]
#: What most reports state, and the figures and tables here follow.
CONVENTIONS = {
    "N": "non-embedding parameters: all but token and position look-up tables; of experts those that one token uses",
    "D": "training tokens, repeats counted; unique tokens stand beside them",
    "C": "training FLOPs as 6ND with the N above; the exact count stands beside it",
    "Loss": "the method's, a mean over held-out data in the proportions of the corpus, in what is said beside it; nats "
    "per token are the mean cross-entropy of text",
    "±": "one standard error over held-out samples, within one run; intervals of figures are 95 %",
}


@dataclass(kw_only=True)
class Report:
    """Everything that a report shows; the same content gives the same bytes.

    runs: manifests, each with its config.json as `config` (`harness.results.rows.read_manifest`); a run that is
    missing has only `id` and `state`. stages: what each stage of a chain gained and lost (`harness.reports.stages`).
    runs_folder: where their directories lie. curves: run id → (step, tokens,
    training loss). scores: rows of the table `scores`. levels: rows {task, metric, name, value}, what chance or
    counting reaches on the samples of a score. created: as text; it is shown, not read from a clock. sweep: the sweep
    file's text. varied: run id → what is varied in it, in words. conditions: run id → its condition. notes: warnings,
    one sentence each, besides those that `warnings` finds.
    """

    name: str
    question: str
    created: str
    command: str
    runs_folder: Path
    runs: list[Row]
    curves: Mapping[str, list[tuple[int, int, float]]] = field(default_factory=dict)
    scores: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    stages: Finding | None = None
    levels: list[Row] = field(default_factory=list)
    conventions: Mapping[str, str] = field(default_factory=lambda: dict(CONVENTIONS))
    notes: list[str] = field(default_factory=list)
    sweep: str = ""
    varied: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)


def rungs(report: Report) -> list[Row]:
    """The runs with the columns of the table `runs`, small to large; `D_per_N`, `varied`, `condition`, `error` and
    `manifest` beside them."""
    rows = [run_columns(run) | {"error": run.get("error"), "manifest": run} for run in report.runs]
    for row in rows:
        row["varied"], row["condition"] = report.varied.get(row["id"], ""), report.conditions.get(row["id"], "")
        row["D_per_N"] = (
            row["tokens"] / row["active_non_embedding"] if row["tokens"] and row["active_non_embedding"] else None
        )
    return sorted(
        rows, key=lambda row: (row["active_non_embedding"] or 0, row["tokens"] or 0, row["seed_init"] or 0, row["id"])
    )


def finished(rows: list[Row]) -> list[Row]:
    """The runs that ended with a loss that is a number."""
    return [row for row in rows if row["state"] == "finished" and is_number(row["held_out_loss"])]


def with_result(rows: list[Row]) -> list[Row]:
    """Those, and what is finished without being trained: quantized."""
    return [
        row for row in rows if row["state"] == "finished" and (row["steps"] == 0 or is_number(row["held_out_loss"]))
    ]


def beginnings(starts: Mapping[str, str | None]) -> set[str]:
    """Of runs by id, with the runs whose weights they begin with: those whose losses can stand in one table, since they
    begin with none; where all begin with some, those that begin with none of them. What follows on others has seen
    more than its own tokens, of other data, and its loss may be of another kind."""
    return {run for run, start in starts.items() if start is None} or {
        run for run, start in starts.items() if start not in starts
    }


def comparable(rows: list[Row]) -> list[Row]:
    """The rows of `beginnings`."""
    starts = {row["id"]: row["init_from"] and row["init_from"].partition("@")[0] for row in rows}
    first = beginnings(starts)
    return [row for row in rows if row["id"] in first]


def of_one_loss(rows: list[Row]) -> list[Row]:
    """Those that are comparable, if all their losses are values of one thing; else none of them."""
    found = comparable(rows)
    return found if len(_kinds(found)) <= 1 else []


def _kinds(rows: list[Row]) -> list[Row]:
    return kinds_of_loss(row["manifest"] for row in rows if row["method"])


def loss_label(rows: Sequence[Row], which: str) -> str:
    """The name of an axis of losses, which are all told in one unit."""
    unit = next((row["loss_in"] for row in rows if row["loss_in"]), None)
    return f"{which} ({unit})" if unit else which


def best(rows: list[Row]) -> Row | None:
    """The run of the lowest held-out loss, of those whose losses can be ranked."""
    return min(finished(of_one_loss(rows)), key=lambda row: row["held_out_loss"], default=None)


def last_scores(report: Report) -> list[Row]:
    """Of each run, task and metric the score of its last checkpoint."""
    last: dict[tuple[Any, ...], Row] = {}
    for row in report.scores:
        key = (row["run"], row.get("suite"), row["task"], row["metric"])
        if key not in last or row["checkpoint"] >= last[key]["checkpoint"]:
            last[key] = row
    return list(last.values())


def warnings(report: Report) -> list[str]:
    """What a reader must know before trusting the numbers: what was given, and what the runs show themselves."""
    found = list(report.notes)
    rows = rungs(report)
    good = {row["id"] for row in with_result(rows)}
    bad = [row for row in rows if row["id"] not in good]
    if bad:
        names = ", ".join(
            f"{row['id']} ({row['state'] if row['state'] != 'finished' else 'no finite loss'})" for row in bad
        )
        found.append(f"Without a result, and so in no fit: {len(bad)} of {len(rows)} runs, {names}.")
    if len(kinds := _kinds(comparable(rows))) > 1:
        found.append(
            f"The losses are of {of_kinds(kinds)}. No figure shows them together, and none is the best. Compare the "
            "scores."
        )
    for what, key, then in (
        ("numerics fingerprint", "fingerprint", "Between them equal runs agree only up to rounding."),
        ("code", "code", "Differences between these runs may come from the code."),
    ):
        if where := differences(report, key):
            fields = " and ".join(dict.fromkeys(row["field"].replace("_", " ") for row in where))
            found.append(f"The runs do not share one {what}: they differ in {fields}; below stands which. {then}")
    return found


def differences(report: Report, key: str) -> list[Row]:
    """Where one part of the manifests differs: {field, value, runs} for each value of each such field. A field that
    changed within a run ("1, then 4" threads) is among them even where all runs share it. What a run does not have it
    did not use: runs with different plugins are not of different code."""
    rows = []
    compared = [(_compared(run[key], key), run["id"]) for run in report.runs if run.get(key)]
    for name in dict.fromkeys(name for value, _ in compared for name in value):
        runs: dict[str, list[str]] = {}
        for value, of in compared:
            if name in value:
                runs.setdefault(_as_text(value[name]), []).append(of)
        if len(runs) > 1 or any(", then " in text for text in runs):
            by_number = sorted(runs.items(), key=lambda one: -len(one[1]))
            rows += [{"field": name, "value": text, "runs": ids} for text, ids in by_number]
    return rows


def _compared(value: Row, key: str) -> Row:
    return {**value["digests"], **value.get("versions", {})} if key == "code" and "digests" in value else value


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return "not said" if value is None else str(value)


def same(report: Report, key: str) -> list[tuple[Row, list[str]]]:
    """The different values of one part of the manifests, each with the ids of its runs; the most common first."""
    groups: dict[str, tuple[Row, list[str]]] = {}
    for run in report.runs:
        if value := run.get(key):
            groups.setdefault(json.dumps(value, sort_keys=True), (value, []))[1].append(run["id"])
    return sorted(groups.values(), key=lambda group: (-len(group[1]), group[1]))
