"""What stands for each condition: of several settings that it was tried with, the one that it is tuned to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from harness.reports.words import is_number
from harness.rundir import RunDir

Row = dict[str, Any]
#: Of initialisation, data and noise.
Seeds = tuple[int, ...]
#: Key and value of each thing that a condition is tuned over.
Setting = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Trial:
    """One run. scores: its rows of the table `scores`, those that its study asked for, of the last checkpoint that has
    them."""

    run: RunDir
    condition: str
    rung: str
    setting: Setting
    seeds: Seeds
    scores: tuple[Row, ...] = ()

    @cached_property
    def manifest(self) -> Row:
        return {**self.run.manifest(), "id": self.run.id}

    @cached_property
    def loss(self) -> float:
        """On held-out data; infinite where there is none, or none that is a number."""
        found = self.manifest.get("result", {}).get("held_out_loss") if self.run.state() == "finished" else None
        return float(found) if found is not None and is_number(found) else math.inf


@dataclass(frozen=True)
class Choice:
    """What a condition is tuned to on one rung. setting: the best by the mean over seeds. trials: what stands for each
    seed, chosen by the other seeds. at_end: keys whose value lies at an end of what was tried."""

    setting: Setting
    trials: dict[Seeds, Trial]
    at_end: tuple[str, ...]

    @property
    def split(self) -> bool:
        """Whether the seeds do not agree."""
        return any(trial.setting != self.setting for trial in self.trials.values())


def trials_of(runs: Sequence[RunDir], conditions: Mapping[str, Row], scores: Sequence[Row]) -> list[Trial]:
    by_run: dict[str, dict[tuple[str, str], Row]] = {}
    for row in sorted(scores, key=lambda row: row["checkpoint"]):
        by_run.setdefault(row["run"], {})[row["task"], row["metric"]] = row
    return [
        Trial(
            run, of["condition"], of["rung"], tuple(of["tuned"].items()), tuple(of["seeds"]),
            tuple(by_run.get(run.id, {}).values()),
        )
        for run in runs
        if (of := conditions.get(run.id))
    ]  # fmt: skip


def choose(trials: Sequence[Trial]) -> Choice | None:
    """Of the trials of one condition on one rung. None where with every setting a seed is without a loss.

    A seed's loss under the setting that it has itself chosen is too low by luck, and by more the more settings there
    are and the less they differ. So for each seed the setting is chosen by the mean loss of the others; with a single
    seed there is no other, and it chooses for itself.
    """
    found = {(trial.setting, trial.seeds): trial for trial in trials}
    settings, seeds = (list(dict.fromkeys(keys)) for keys in zip(*found, strict=True))
    whole = [one for one in settings if all((one, s) in found and found[one, s].loss < math.inf for s in seeds)]
    if not whole:
        return None

    def best(by: Sequence[Seeds]) -> Setting:
        return min(whole, key=lambda setting: fmean(found[setting, seed].loss for seed in by))

    chosen = {seed: found[best([other for other in seeds if other != seed] or [seed]), seed] for seed in seeds}
    return Choice(best(seeds), chosen, _at_end(best(seeds), settings))


def _at_end(chosen: Setting, settings: Sequence[Setting]) -> tuple[str, ...]:
    """Of numbers, the keys whose value is the least or the greatest of several."""
    ends = []
    for i, (key, value) in enumerate(chosen):
        tried = {setting[i][1] for setting in settings}
        if len(tried) > 1 and all(map(is_number, tried)) and value in (min(tried), max(tried)):
            ends.append(key)
    return tuple(ends)
