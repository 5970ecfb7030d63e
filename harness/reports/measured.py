"""What conditions are compared by, and which of them can be: bits per byte of the same documents, or else losses that
are values of one thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from harness.reports.trials import Trial
from harness.reports.words import is_number
from harness.results.losses import unlike
from harness.scoring.paired import pulls_of, questions
from harness.scoring.samples import read_samples, samples_of

T = TypeVar("T")
Row = dict[str, Any]
BITS = "bits_per_byte"
#: Trials by condition and rung.
Stands = Mapping[tuple[str, str], Sequence[Trial]]
#: The kind of likelihood, the suite's settings, and the documents, or None where samples are not kept.
Asked = tuple[Any, Any, int | None] | None


@dataclass(frozen=True)
class Measure:
    """task: of whose documents bits per byte are compared; empty: held-out losses are."""

    task: str
    label: str

    def value(self, trial: Trial) -> float:
        return float(_bits(trial, self.task)["value"]) if self.task else trial.loss

    def asked(self, trial: Trial) -> Asked:
        """Equal where the values can be compared."""
        if not self.task:
            return None
        row, samples = _bits(trial, self.task), _samples(trial, self.task)
        documents = hash(tuple(questions(samples, BITS))) if samples else None
        return row.get("likelihood"), row.get("settings"), documents

    def pulls(self, trial: Trial) -> np.ndarray | None:
        """By how much each sample moves the value; None where samples are not kept."""
        samples = _samples(trial, self.task) if self.task else None
        return pulls_of(samples, BITS, self.value(trial)) if samples else None

    def documents(self, trial: Trial) -> int | None:
        return _bits(trial, self.task)["n"] if self.task else None


def measured_by(stands: Stands) -> tuple[Measure, list[list[str]]]:
    """The measure, and the conditions that have it in one kind, kind by kind."""
    trials = [trial for own in stands.values() for trial in own]
    tasks = [{row["task"] for row in t.scores if row["metric"] == BITS and is_number(row["value"])} for t in trials]
    shared = set.intersection(*tasks) if tasks else set()
    if not shared:
        unit = {trial.manifest.get("model", {}).get("loss_in") for trial in trials} - {None}
        label = f"held-out loss ({unit.pop()})" if len(unit) == 1 else "held-out loss"
        manifests: dict[str, Row] = {}
        for (name, _), of_rung in stands.items():
            manifests.setdefault(name, of_rung[0].manifest)
        return Measure("", label), _kinds(manifests, _of_one_loss)
    task = max(sorted(shared), key=lambda task: _bits(trials[0], task)["n"] or 0)
    measure, asked = Measure(task, "bits per byte"), dict[str, dict[str, set[Asked]]]()
    for (name, rung), own in stands.items():
        asked.setdefault(name, {})[rung] = {measure.asked(trial) for trial in own}
    return measure, _kinds(asked, _asked_alike)


def _kinds(of: Mapping[str, T], alike: Callable[[T, T], bool]) -> list[list[str]]:
    """The names, by what they are alike in; each kind is that of its first."""
    kinds: list[list[str]] = []
    for name in of:
        own = next((kind for kind in kinds if alike(of[kind[0]], of[name])), None)
        if own is None:
            kinds.append([name])
        else:
            own.append(name)
    return kinds


def _of_one_loss(one: Row, other: Row) -> bool:
    return not unlike(one, other, "", "")


def _asked_alike(one: Mapping[str, set[Asked]], other: Mapping[str, set[Asked]]) -> bool:
    return all(one[rung] == other[rung] for rung in one.keys() & other.keys())


def _bits(trial: Trial, task: str) -> Row:
    return next(row for row in trial.scores if (row["task"], row["metric"]) == (task, BITS))


def _samples(trial: Trial, task: str) -> list[Row] | None:
    path = samples_of(trial.run, _bits(trial, task))
    return list(read_samples(path).to_pylist()) if path.is_file() else None
