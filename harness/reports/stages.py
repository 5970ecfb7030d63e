"""What each stage of a chain of runs gained and lost: every run against the one that it starts from, on the same
samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from harness.interfaces.analysis import Finding
from harness.reports.chain import Step, start_of, steps_of
from harness.reports.intervals import CONFIDENCE, Difference, Pair, differences
from harness.reports.words import is_number, number, signed
from harness.rundir import RunDir
from harness.scoring.metrics import METRICS

Row = dict[str, Any]
Key = tuple[str, str, str]  #: task, metric, suite
Scores = dict[Key, Row]
NAME = "stages"
GAINED, LOST, NOISE, UNKNOWN = "gained", "lost", "cannot be told from noise", "no interval"

#: Of the manifest, what is compared without samples: where it stands, and how it is called.
FACTS = {"model_bytes": "bytes of the model's file", "tokens_per_second": "training, tokens per second"}


def gained_and_lost(runs: Sequence[RunDir], names: Mapping[str, str]) -> Finding | None:
    """The finding that a report shows; None where no finished run starts from another of them. names: of the runs'
    stages, by id; a run without one is called by its method or quantizer."""
    steps = steps_of([run for run in runs if run.state() == "finished"], names)
    tables = {step.title: _table(step) for step in steps}
    if not tables:
        return None
    sentences = [_sentence(step, rows) for step, rows in zip(steps, tables.values(), strict=True)]
    return Finding(NAME, "ok", sentences, {"steps": len(steps)}, tables)


def meaning(finding: Finding) -> str:
    """What the intervals say."""
    several = any(row["seeds"] > 1 for row in _told(finding))
    seeds = (
        "; of several seeds they are of the mean difference and hold both the samples' and the seeds' spread"
        if several
        else "; there is one seed, so that they say nothing of how another training would have come out"
    )
    return (
        f"Every run against the one that it starts from, on the same samples. Intervals are {CONFIDENCE:.0%} intervals "
        f"of the difference, paired by sample{seeds}. Of {len(_told(finding))} differences with an interval one in "
        "twenty is told by chance alone."
    )


def _told(finding: Finding) -> list[Row]:
    return [row for rows in finding.tables.values() for row in rows if row["low"] is not None]


# ---------------------------------------------------------------------------------------------- rows


def _table(step: Step) -> list[Row]:
    scored = [(_scores(run), _scores(parent, start_of(run.manifest())[1])) for run, parent in step.pairs]
    keys = [key for key in scored[0][0] if all(key in scores for pair in scored for scores in pair)]
    rows = [row for key in sorted(filter(_is_shown, keys), key=_order) for row in _rows(step, key, scored)]
    return [*rows, *_measures(step), *_facts(step)]


def _scores(run: RunDir, step: int | None = None) -> Scores:
    """Of the checkpoint at a step; null: of the last that has them."""
    rows = [row for row in run.scores() if step is None or row["checkpoint"] == step]
    return {(row["task"], row["metric"], row["suite"]): row for row in sorted(rows, key=lambda row: row["checkpoint"])}


def _is_shown(key: Key) -> bool:
    """One or two metrics of each task: what is right or wrong and by how much, or what there is instead."""
    return key[1].partition(",")[0] in ("accuracy", "acc", "margin", "reward", "bits_per_byte", "exact_match")


def _order(key: Key) -> tuple[Any, ...]:
    """Examples first, then documents, then the rest."""
    first = ("preferences", "reward", "answers")
    place = first.index(key[0]) if key[0] in first else 3 if key[0].startswith("held_out") else 4
    return place, key[0], list(METRICS).index(key[1]) if key[1] in METRICS else 0


def _rows(step: Step, key: Key, scored: Sequence[tuple[Scores, Scores]]) -> list[Row]:
    """One of all seeds, or one of each, where they were not asked the same."""
    pairs = [(run, parent, a[key], b[key]) for (run, parent), (a, b) in zip(step.pairs, scored, strict=True)]
    told = differences(pairs)
    return [_row(key, of, found, f", {of[0][0].id} alone" if len(told) > 1 else "") for of, found in told]


def _row(key: Key, pairs: Sequence[Pair], found: Difference, alone: str) -> Row:
    task, metric, _ = key
    known = METRICS.get(metric.partition(",")[0])
    better = known is None or known.higher_is_better
    return {
        "what": f"{task.replace('_', ' ')}: {known.label if known else metric}{alone} {'↑' if better else '↓'}",
        "before": found.before,
        "after": found.after,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "samples": found.samples,
        "seeds": len(pairs),
        "verdict": verdict(found, better),
    }


def verdict(found: Difference, higher_is_better: bool) -> str:
    if found.low is None or found.high is None:
        return UNKNOWN
    if found.low <= 0 <= found.high:
        return NOISE
    return GAINED if (found.low > 0) == higher_is_better else LOST


# ---------------------------------------------------------------------------------------------- facts


def _facts(step: Step) -> list[Row]:
    """What is known of each run without samples: means, and no interval."""
    rows = []
    for key, what in FACTS.items():
        values = [[one.manifest().get("result", {}).get(key) for one in pair] for pair in step.pairs]
        after, before = (_mean([pair[which] for pair in values]) for which in (0, 1))
        if after is not None or before is not None:
            rows.append(_fact(step, what, before, after))
    return rows


def _measures(step: Step) -> list[Row]:
    """What the method told of its own held-out batches, such as the divergence from the reference."""
    told = [run.manifest().get("result", {}).get("held_out_measures", {}) for run, _ in step.pairs]
    names = [name for name in told[0] if all(name in measures for measures in told)]
    return [
        _fact(
            step,
            f"{_spoken(name)}, as {step.label} measures it",
            None,
            _mean([m[name]["value"] for m in told]),
        )
        for name in names
    ]


def _spoken(measure: str) -> str:
    return "KL to the reference (nats per token)" if measure == "kl" else measure.replace("_", " ")


def _fact(step: Step, what: str, before: float | None, after: float | None) -> Row:
    times = f"× {number(after / before)}" if before and after is not None else ""
    return {
        "what": what,
        "before": before,
        "after": after,
        "difference": None if before is None or after is None else after - before,
        **dict.fromkeys(("low", "high", "samples")),
        "seeds": len(step.pairs),
        "verdict": times,
    }


def _mean(values: Sequence[Any]) -> float | None:
    return fmean(values) if values and all(map(is_number, values)) else None


# ------------------------------------------------------------------------------------------ sentences


def _sentence(step: Step, rows: Sequence[Row]) -> str:
    parts = []
    for word in (GAINED, LOST):
        if which := [row for row in rows if row["verdict"] == word]:
            parts.append(f"{word} {'; '.join(map(_said, which))}")
    if noise := [row for row in rows if row["verdict"] == NOISE]:
        parts.append(
            f"{len(noise)} of {len(noise) + sum(r['verdict'] in (GAINED, LOST) for r in rows)} differences {NOISE}"
        )
    if unknown := [row for row in rows if row["verdict"] == UNKNOWN]:
        parts.append(f"{len(unknown)} have no interval, since their samples are not the same")
    if alone := [row for row in rows if row["seeds"] < len(step.pairs)]:
        parts.append(f"{len(alone)} are of one seed each, since the seeds were not asked the same samples")
    kept = [f"{row['what']} {number(row['after'])}" for row in rows if row["what"].startswith("KL")]
    size = next((row for row in rows if row["what"] == FACTS["model_bytes"]), None)
    if size and size["before"] and size["before"] != size["after"]:
        kept.append(f"{size['what']} {size['verdict']}")
    parts += kept
    said = ". ".join(part[0].upper() + part[1:] for part in parts) or "Nothing was scored that both have"
    return f"{step.title}: {said}."


def _said(row: Row) -> str:
    return f"{row['what'][:-2]} {signed(row['difference'])} [{signed(row['low'])}, {signed(row['high'])}]"
