"""What each condition of a study amounts to: every one beside the first, on each rung, with intervals and ranks.

A condition is what a study varies besides seeds, rungs and what each condition is tuned over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from harness.interfaces.analysis import Drawing, Finding
from harness.reports import whiskers
from harness.reports.compared import NOISE, Compared, Comparison, Rung, compared
from harness.reports.measured import Measure
from harness.reports.ranking import change, ranks
from harness.reports.told import sentences
from harness.reports.trials import Choice, trials_of
from harness.results.columns import active_non_embedding
from harness.rundir import RunDir

Row = dict[str, Any]
NAME = "conditions"


def conditions(runs: Sequence[RunDir], of: Mapping[str, Row], scores: Sequence[Row]) -> Finding | None:
    """The finding that a report shows; None where a study has a single condition. of: by run, as
    `harness.studies.conditions` has it. scores: rows of the table `scores`, those that the study asked for."""
    trials = trials_of(runs, of, scores)
    if len({trial.condition for trial in trials}) < 2:
        return None
    found = compared(trials)
    sure = any(rung.gap(arm).half is not None for one in found.kinds for rung in one.rungs for arm in rung.arms[1:])
    tables = {title: rows for one in found.kinds for title, rows in _tables(one, len(found.kinds) > 1)}
    if len(found.kinds) > 1:
        tables["side by side"] = _side_by_side(found)
    return Finding(
        NAME,
        "ok" if sure else "not enough data",
        sentences(found, {one.top.reference.name: trend(one) for one in found.kinds}),
        {one.top.reference.name: _values(one) for one in found.kinds},
        tables,
        [_drawing(one) for one in found.kinds if len(one.top.arms) > 1],
    )


def _tables(one: Compared, several: bool) -> list[tuple[str, list[Row]]]:
    of = f", {one.top.reference.name} and its like" if several else ""
    tables = [(f"{rung.name or 'ranking'}{of}", _rows(one.measure, rung)) for rung in reversed(one.rungs)]
    return [*tables, (f"from {one.rungs[0].name} to {one.top.name}{of}", trend(one))]


def _rows(measure: Measure, rung: Rung) -> list[Row]:
    places = ranks(rung.arms, rung.noise)
    rows = []
    for arm in rung.ranked():
        choice, own = rung.choices[arm.name], rung.gap(arm) if arm is not rung.reference else None
        manifests = [trial.manifest for trial in choice.trials.values()]
        low, high = places[arm.name]
        row = {
            "condition": arm.name,
            "ranks": str(low) if low == high else f"{low}–{high}",
            measure.label: arm.mean,
            "difference": own.value if own else None,
            "low": own.low if own else None,
            "high": own.high if own else None,
            "verdict": rung.verdict(arm),
            "tuned to": _setting(choice) or None,
            "N": active_non_embedding(manifests[0]),
            "D": manifests[0].get("budget", {}).get("tokens"),
            "C, 6ND": manifests[0].get("budget", {}).get("flops_6nd"),
            "seeds": len(arm.values),
            "runs": [trial.run.id for trial in choice.trials.values()],
        }
        rows.append(row)
    return rows if any(row["tuned to"] for row in rows) else [_without(row, "tuned to") for row in rows]


def _without(row: Row, key: str) -> Row:
    return {name: value for name, value in row.items() if name != key}


def _setting(choice: Choice) -> str:
    said = ", ".join(f"{key}={value}" for key, value in choice.setting)
    return f"{said}{' (an end)' if choice.at_end else ''}{'; seeds disagree' if choice.split else ''}"


def trend(one: Compared) -> list[Row]:
    """How the difference of each condition from the first moves from the smallest rung to the largest."""
    small, large = one.rungs[0], one.top
    if small is large:
        return []
    rows = []
    before = {arm.name: arm for arm in small.arms}
    for arm in large.ranked():
        if arm is large.reference or arm.name not in before:
            continue
        was = before[arm.name]
        moved = change((was, small.reference, small.gap(was)), (arm, large.reference, large.gap(arm)))
        verdict = {0: NOISE, 1: "falls behind", -1: "catches up"}[moved.sign]
        rows.append(
            {
                "condition": arm.name,
                f"difference at {small.name}": small.gap(was).value,
                f"difference at {large.name}": large.gap(arm).value,
                "change": moved.value,
                "low": moved.low,
                "high": moved.high,
                "verdict": verdict,
            }
        )
    return rows


def _side_by_side(found: Comparison) -> list[Row]:
    """Loss and scores of conditions of several kinds, means over seeds."""
    rows = []
    for (name, rung), trials in found.stands.items():
        about, unit = {"condition": name, "rung": rung}, trials[0].manifest.get("model", {}).get("loss_in")
        loss = fmean(trial.loss for trial in trials)
        rows.append({**about, "what": f"held-out loss ({unit})", "likelihood": None, "mean": loss})
        told = {(row["task"], row["metric"]): row["likelihood"] for trial in trials for row in trial.scores}
        for key, likelihood in told.items():
            values = [row["value"] for t in trials for row in t.scores if (row["task"], row["metric"]) == key]
            rows.append({**about, "what": ": ".join(key), "likelihood": likelihood, "mean": fmean(values)})
    return sorted(rows, key=lambda row: (row["rung"], row["what"]))


def _values(one: Compared) -> Row:
    return {
        "measure": one.measure.label,
        "order": {rung.name: [arm.name for arm in rung.ranked()] for rung in one.rungs},
        "verdicts": {rung.name: {arm.name: rung.verdict(arm) for arm in rung.arms} for rung in one.rungs},
        "the_same_from_other_seeds": one.twins,
    }


def _drawing(one: Compared) -> Drawing:
    order = [arm.name for arm in one.top.ranked()]
    panels = [(rung.name, {arm.name: rung.gap(arm) for arm in rung.arms[1:]}) for rung in one.rungs]
    first = one.top.reference.name
    return Drawing(
        f"Beside {first}",
        f"Difference of {one.measure.label} from {first}: left, and blue, is better; red is worse; grey is not "
        "told apart. The intervals are those of the tables.",
        lambda: whiskers.beside(order, first, panels, one.measure.label),
    )
