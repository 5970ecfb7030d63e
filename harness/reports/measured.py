"""What conditions are compared by, and which of them can be: bits per byte of the same documents, or else losses that
are values of one thing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.reports.trials import Trial
from harness.reports.words import is_number
from harness.results.losses import unlike
from harness.scoring.paired import pulls_of, questions
from harness.scoring.samples import read_samples, samples_of

Row = dict[str, Any]
BITS = "bits_per_byte"
#: Trials by condition and rung.
Stands = Mapping[tuple[str, str], Sequence[Trial]]


@dataclass(frozen=True)
class Measure:
    """task: of whose documents bits per byte are compared; empty: held-out losses are. first: a trial whose samples
    the others' must be."""

    task: str
    label: str
    first: Trial | None = None

    def value(self, trial: Trial) -> float:
        return float(_bits(trial, self.task)["value"]) if self.task else trial.loss

    def pulls(self, trial: Trial) -> np.ndarray | None:
        """By how much each sample moves the value; None where samples are not kept, or are other ones."""
        samples = _samples(trial, self.task) if self.task else None
        if not samples or self.first is None:
            return None
        if questions(samples, BITS) != questions(_samples(self.first, self.task) or [], BITS):
            return None
        return pulls_of(samples, BITS, self.value(trial))

    @property
    def documents(self) -> int | None:
        return None if self.first is None or not self.task else _bits(self.first, self.task)["n"]


def measured_by(stands: Stands) -> tuple[Measure, list[list[str]]]:
    """The measure, and the conditions that have it in one kind, kind by kind."""
    trials = [trial for own in stands.values() for trial in own]
    tasks = [{row["task"] for row in t.scores if row["metric"] == BITS and is_number(row["value"])} for t in trials]
    shared = set.intersection(*tasks) if tasks else set()
    if not shared:
        unit = {trial.manifest.get("model", {}).get("loss_in") for trial in trials} - {None}
        return Measure("", f"held-out loss ({unit.pop()})" if len(unit) == 1 else "held-out loss"), _of_losses(stands)
    task = max(sorted(shared), key=lambda task: _bits(trials[0], task)["n"] or 0)
    return Measure(task, "bits per byte", trials[0]), _of_scores(stands, task)


def _of_scores(stands: Stands, task: str) -> list[list[str]]:
    kinds: dict[Any, list[str]] = {}
    for (name, _), trials in stands.items():
        rows = [_bits(trial, task) for trial in trials]
        key = str(sorted({(row.get("likelihood"), row.get("settings")) for row in rows}, key=str))
        if all(name not in own for own in kinds.values()):
            kinds.setdefault(key, []).append(name)
    return list(kinds.values())


def _of_losses(stands: Stands) -> list[list[str]]:
    kinds: list[tuple[Row, list[str]]] = []
    for (name, _), trials in stands.items():
        if any(name in own for _, own in kinds):
            continue
        manifest = trials[0].manifest
        own = next((own for first, own in kinds if not unlike(first, manifest, "", "")), None)
        if own is None:
            kinds.append((manifest, [name]))
        else:
            own.append(name)
    return [own for _, own in kinds]


def _bits(trial: Trial, task: str) -> Row:
    found = [row for row in trial.scores if (row["task"], row["metric"]) == (task, BITS)]
    return max(found, key=lambda row: row["checkpoint"], default={"value": math.nan, "n": None})


def _samples(trial: Trial, task: str) -> list[Row] | None:
    path = samples_of(trial.run, _bits(trial, task))
    return list(read_samples(path).to_pylist()) if path.is_file() else None
