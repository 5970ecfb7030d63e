"""What five architectures reach with equal training compute on the quickstart's corpus, each at its own best learning
rate: one table of the study `sweeps/architectures.yaml`.

    harness study architectures
    python bench/architectures.py [sweep or its file] [runs]

Bits per byte of held-out documents and the share of minimal pairs that are right, each a mean over seeds with its
standard error; what an n-gram model has counted stands in bytes, as all models do.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from math import fsum, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from harness.reports.trials import Trial, choose, trials_of
from harness.rundir import RunDir
from harness.stored import stored_config
from harness.studies.baselines import HELD_OUT, PAIRS
from harness.studies.conditions import conditions_of
from harness.studies.overrides import with_overrides
from harness.studies.stages import rows_of
from harness.studies.sweep_file import load_sweep

HEADER = ("", "lr", "parameters", "MB", "tokens", "FLOPs", "bits per byte", "minimal pairs", "tokens/s")


def line(condition: str, trials: Sequence[Trial]) -> tuple[str, ...]:
    """One architecture at the learning rate that its seeds choose for each other."""
    choice = choose(trials)
    if choice is None:
        return (condition, *["…"] * (len(HEADER) - 1))
    chosen = list(choice.trials.values())
    of = chosen[0].manifest
    return (
        condition,
        " ".join(str(value) for _, value in choice.setting),
        f"{of['model']['parameters']:,}",
        f"{of['result']['model_bytes'] / 1e6:.1f}",
        f"{of['budget']['tokens']:,}",
        f"{of['budget']['flops']:.2e}",
        told([bits_per_byte(trial) for trial in chosen]),
        told([accuracy(trial) for trial in chosen]),
        f"{fmean(trial.manifest['result']['tokens_per_second'] for trial in chosen):,.0f}",
    )


def at_end(trial: Trial, metric: str) -> list[dict[str, Any]]:
    """The scores of one metric at the last checkpoint."""
    last = max((row["checkpoint"] for row in trial.scores), default=None)
    return [row for row in trial.scores if row["metric"] == metric and row["checkpoint"] == last]


def bits_per_byte(trial: Trial) -> float:
    """Of the held-out documents of the largest source."""
    largest = max(stored_config(trial.run).corpus.mixture(), key=lambda source: source.weight).name
    return float(next(row["value"] for row in at_end(trial, "bits_per_byte") if row["task"] == HELD_OUT + largest))


def accuracy(trial: Trial) -> float:
    """Over all minimal pairs, of every kind."""
    rows = [row for row in at_end(trial, "accuracy") if row["task"].startswith(PAIRS)]
    return fsum(row["value"] * row["n"] for row in rows) / sum(row["n"] for row in rows)


def told(values: Sequence[float]) -> str:
    """Their mean and its standard error."""
    error = f" ± {stdev(values) / sqrt(len(values)):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{error}"


def main(sweep: str = "architectures", runs: str = "runs") -> None:
    loaded = with_overrides(load_sweep(sweep), [f"runs={runs}"])
    rows = rows_of(loaded)
    there = [run for made in rows if (run := RunDir(Path(runs) / made.plan.id)).path.is_dir()]
    if not there:
        print(f"There are no runs of {sweep} in {runs}: harness study {sweep}")
        return
    scores = [score for run in there for score in run.scores()]
    by_condition = defaultdict(list)
    for trial in trials_of(there, conditions_of(loaded, rows), scores):
        by_condition[trial.condition].append(trial)
    table = [HEADER, *(line(condition, trials) for condition, trials in by_condition.items())]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main(*sys.argv[1:])
