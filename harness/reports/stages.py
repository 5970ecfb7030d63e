"""What each stage of a chain of runs gained and lost: every run against the one that it starts from, on the same
samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.interfaces.analysis import Finding
from harness.reports.words import is_number, number
from harness.rundir import RunDir
from harness.scoring.metrics import METRICS
from harness.scoring.paired import error_of, paired_pulls
from harness.scoring.samples import read_samples, samples_path

Row = dict[str, Any]
Scores = dict[tuple[str, str], Row]  #: by task and metric
NAME = "stages"
CONFIDENCE = 0.95
GAINED, LOST, NOISE, UNKNOWN = "gained", "lost", "cannot be told from noise", "no interval"

#: Of the manifest, what is compared without samples: where it stands, and how it is called.
FACTS = {"model_bytes": "bytes of the model's file", "tokens_per_second": "training, tokens per second"}


@dataclass(frozen=True)
class Step:
    """One stage after another. label: of the later one; before: of the earlier. pairs: (run, the run that it starts
    from), which differ in their seeds only."""

    label: str
    before: str
    pairs: list[tuple[RunDir, RunDir]]

    @property
    def title(self) -> str:
        seeds = f"{len(self.pairs)} seeds" if len(self.pairs) > 1 else "one seed"
        return f"{self.before} → {self.label}, {seeds}"


@dataclass(frozen=True)
class Difference:
    """after − before, means over the pairs. low, high: the interval; None where the samples give none. samples: of one
    pair; None where the pairs have not the same number."""

    before: float
    after: float
    low: float | None
    high: float | None
    samples: int | None

    @property
    def value(self) -> float:
        return self.after - self.before


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
    several = any(row["seeds"] > 1 for rows in finding.tables.values() for row in rows)
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


# --------------------------------------------------------------------------------------------- steps


def steps_of(runs: Sequence[RunDir], names: Mapping[str, str]) -> list[Step]:
    """Each kind of step from one stage to the next, in the order of the runs."""
    manifests = {run.id: run.manifest() for run in runs}
    by_id = {run.id: run for run in runs}
    found: dict[str, Step] = {}
    for run in runs:
        parent, _ = start_of(manifests[run.id])
        if parent in by_id:
            kind = _kind(manifests[run.id], manifests)
            if kind not in found:
                label, before = _label(run, names), _label(by_id[parent], names)
                told = any((step.label, step.before) == (label, before) for step in found.values())
                found[kind] = Step(f"{label} ({run.id})" if told else label, before, [])
            found[kind].pairs.append((run, by_id[parent]))
    return list(found.values())


def start_of(manifest: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The id of the run whose weights a run begins with, and the step of its checkpoint."""
    name, _, step = str(manifest.get("identity", {}).get("parents", {}).get("init") or "").partition("@")
    return name or None, int(step) if step.isdigit() else None


def _kind(manifest: Mapping[str, Any], manifests: Mapping[str, Any]) -> str:
    """Equal for runs that differ in nothing but seeds, their parents included."""
    identity = manifest["identity"]
    config = {key: value for key, value in identity["config"].items() if key != "seeds"}
    parents = {
        role: [_kind(manifests[name], manifests), step] if name in manifests else text
        for role, text in identity.get("parents", {}).items()
        for name, _, step in [str(text).partition("@")]
    }
    return repr({**identity, "config": config, "parents": sorted(parents.items())})


def _label(run: RunDir, names: Mapping[str, str]) -> str:
    config = run.config()
    return names.get(run.id) or (config.get("method") or config.get("quantizer") or {}).get("name", run.id)


# --------------------------------------------------------------------------------------- differences


def _table(step: Step) -> list[Row]:
    scored = [(_scores(run), _scores(parent, start_of(run.manifest())[1])) for run, parent in step.pairs]
    keys = [key for key in scored[0][0] if all(key in scores for pair in scored for scores in pair)]
    rows = [_row(step, key, scored) for key in sorted(filter(_is_shown, keys), key=_order)]
    return [*rows, *_measures(step), *_facts(step)]


def _scores(run: RunDir, step: int | None = None) -> Scores:
    """By task and metric, of the checkpoint at a step; null: of the last that has them."""
    rows = [row for row in run.scores() if step is None or row["checkpoint"] == step]
    return {(row["task"], row["metric"]): row for row in sorted(rows, key=lambda row: row["checkpoint"])}


def _is_shown(key: tuple[str, str]) -> bool:
    """One or two metrics of each task: what is right or wrong and by how much, or what there is instead."""
    return key[1].partition(",")[0] in ("accuracy", "acc", "margin", "reward", "bits_per_byte", "exact_match")


def _order(key: tuple[str, str]) -> tuple[Any, ...]:
    """Examples first, then documents, then the rest."""
    first = ("preferences", "reward", "answers")
    place = first.index(key[0]) if key[0] in first else 3 if key[0].startswith("held_out") else 4
    return place, key[0], list(METRICS).index(key[1]) if key[1] in METRICS else 0


def _row(step: Step, key: tuple[str, str], scored: Sequence[tuple[Scores, Scores]]) -> Row:
    task, metric = key
    found = difference(
        [(run, parent, a[key], b[key]) for (run, parent), (a, b) in zip(step.pairs, scored, strict=True)]
    )
    known = METRICS.get(metric.partition(",")[0])
    better = known is None or known.higher_is_better
    return {
        "what": f"{task.replace('_', ' ')}: {known.label if known else metric} {'↑' if better else '↓'}",
        "before": found.before,
        "after": found.after,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "samples": found.samples,
        "seeds": len(step.pairs),
        "verdict": verdict(found, better),
    }


def verdict(found: Difference, higher_is_better: bool) -> str:
    if found.low is None or found.high is None:
        return UNKNOWN
    if found.low <= 0 <= found.high:
        return NOISE
    return GAINED if (found.low > 0) == higher_is_better else LOST


def difference(pairs: Sequence[tuple[RunDir, RunDir, Row, Row]]) -> Difference:
    """One score after and before, over pairs of runs, each with their rows of the table `scores`. Without an interval
    where the samples, the settings or the kinds of likelihood are not the same."""
    after = float(np.mean([of_run["value"] for _, _, of_run, _ in pairs]))
    before = float(np.mean([of_parent["value"] for _, _, _, of_parent in pairs]))
    counts = {row["n"] for _, _, of_run, of_parent in pairs for row in (of_run, of_parent)}
    samples = counts.pop() if len(counts) == 1 else None
    pulls = [_pulls(*pair) for pair in pairs]
    if samples is None or any(pull is None for pull in pulls):
        return Difference(before, after, None, None, samples)
    pulls_PS = np.stack([pull for pull in pulls if pull is not None])
    half = half_width(pulls_PS, np.array([of_a["value"] - of_b["value"] for _, _, of_a, of_b in pairs]))
    return Difference(before, after, after - before - half, after - before + half, samples)


def half_width(pulls_PS: np.ndarray, differences_P: np.ndarray) -> float:
    """Of the interval of the mean of P differences. pulls_PS: by how much each sample moves each of them.

    Two errors are added as independent ones are, each with its own quantile of Student's t: that over samples, of what
    each moves on the mean over pairs; and, of several pairs, that over pairs. It is rather too wide than too narrow
    (Graybill & Wang 1980 on sums of variances): one number of degrees of freedom for both, by Satterthwaite, covers
    87 % instead of 95 where two pairs differ by much.
    """
    from scipy.special import stdtrit  # Student's quantile; scipy.stats takes a second to import

    pairs, samples = pulls_PS.shape
    quantile = (1 + CONFIDENCE) / 2
    over_samples = float(stdtrit(samples - 1, quantile)) * error_of(pulls_PS.mean(axis=0))
    if pairs == 1:
        return over_samples
    over_pairs = float(stdtrit(pairs - 1, quantile)) * float(np.std(differences_P, ddof=1)) / math.sqrt(pairs)
    return math.hypot(over_samples, over_pairs)


def _pulls(run: RunDir, parent: RunDir, of_run: Row, of_parent: Row) -> np.ndarray | None:
    paths = [samples_path(one, row["task"], row["checkpoint"]) for one, row in ((run, of_run), (parent, of_parent))]
    alike = of_run.get("likelihood") == of_parent.get("likelihood") and of_run.get("settings") == of_parent.get(
        "settings"
    )
    if not alike or not all(path.is_file() for path in paths):
        return None
    both = [read_samples(path).to_pylist() for path in paths]
    return paired_pulls(both[0], both[1], of_run["metric"], of_run["value"], of_parent["value"])


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
    return float(np.mean(values)) if values and all(map(is_number, values)) else None


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
    kept = [f"{row['what']} {number(row['after'])}" for row in rows if row["what"].startswith("KL")]
    size = next((row for row in rows if row["what"] == FACTS["model_bytes"]), None)
    if size and size["before"] and size["before"] != size["after"]:
        kept.append(f"{size['what']} {size['verdict']}")
    parts += kept
    said = ". ".join(part[0].upper() + part[1:] for part in parts) or "Nothing was scored that both have"
    return f"{step.title}: {said}."


def _said(row: Row) -> str:
    return f"{row['what'][:-2]} {_signed(row['difference'])} [{_signed(row['low'])}, {_signed(row['high'])}]"


def _signed(value: float) -> str:
    """
    >>> _signed(-0.1234), _signed(0.00123)
    ('−0.123', '+0.0012')
    """
    return (f"{value:+.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:+.2g}").replace("-", "−")
