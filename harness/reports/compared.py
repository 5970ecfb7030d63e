"""The conditions of a study beside each other: on each rung, those whose values are of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.reports.measured import Measure, measured_by
from harness.reports.ranking import Arm, Gap, Noise, gap, noise_of
from harness.reports.trials import Choice, Trial, choose

Row = dict[str, Any]
BETTER, WORSE, NOISE, REFERENCE = "better", "worse", "not told apart", "reference"


@dataclass(frozen=True)
class Rung:
    """Conditions of one kind on one rung. arms: the first is what the others are compared with."""

    name: str
    arms: list[Arm]
    choices: dict[str, Choice]
    noise: Noise

    @property
    def reference(self) -> Arm:
        return self.arms[0]

    @property
    def trial(self) -> Trial:
        """One of the reference."""
        return next(iter(self.choices[self.reference.name].trials.values()))

    def gap(self, arm: Arm) -> Gap:
        return gap(arm, self.reference, self.noise, max(1, len(self.arms) - 1))

    def verdict(self, arm: Arm) -> str:
        if arm is self.reference:
            return REFERENCE
        return {0: NOISE, 1: WORSE, -1: BETTER}[self.gap(arm).sign]

    def ranked(self) -> list[Arm]:
        return sorted(self.arms, key=lambda arm: arm.mean)


@dataclass(frozen=True)
class Compared:
    """Conditions whose values are of one kind. rungs: small to large. twins: those that are the first once more, from
    other seeds."""

    measure: Measure
    rungs: list[Rung]
    twins: list[str]

    @property
    def top(self) -> Rung:
        return self.rungs[-1]


@dataclass(frozen=True)
class Comparison:
    """kinds: what can be compared with each other. choices: by condition and rung; null where no setting came to a
    loss with every seed."""

    kinds: list[Compared]
    choices: dict[tuple[str, str], Choice | None]

    @property
    def stands(self) -> dict[tuple[str, str], list[Trial]]:
        """What stands for each condition on each rung."""
        return {key: list(choice.trials.values()) for key, choice in self.choices.items() if choice}


def compared(trials: Sequence[Trial]) -> Comparison:
    """The first condition of each kind is what the others of it are compared with."""
    names, rungs = list(dict.fromkeys(trial.condition for trial in trials)), _rungs(trials)
    own = {
        (name, rung): [t for t in trials if (t.condition, t.rung) == (name, rung)] for rung in rungs for name in names
    }
    choices = {key: choose(found) for key, found in own.items() if found}
    stands = {key: list(choice.trials.values()) for key, choice in choices.items() if choice}
    measure, kinds = measured_by(stands)
    found = [_compared(measure, sorted(kind, key=names.index), rungs, trials, choices) for kind in kinds]
    return Comparison([one for one in found if one.rungs], choices)


def _rungs(trials: Sequence[Trial]) -> list[str]:
    """Small to large, by what the first condition on each costs."""
    cost: dict[str, float] = {}
    for trial in trials:
        cost.setdefault(trial.rung, trial.manifest.get("budget", {}).get("flops_6nd") or 0.0)
    return sorted(cost, key=lambda rung: cost[rung])


def _compared(
    measure: Measure,
    names: Sequence[str],
    rungs: Sequence[str],
    trials: Sequence[Trial],
    choices: Mapping[tuple[str, str], Choice | None],
) -> Compared:
    found = []
    for rung in rungs:
        own = {name: choice for name in names if (choice := choices.get((name, rung)))}
        arms = [_arm(measure, name, choice) for name, choice in own.items()]
        if arms and arms[0].name == names[0]:  # without what the others are compared with there is nothing to say
            found.append(Rung(rung, arms, own, noise_of(arms)))
    twins = [name for name in names[1:] if _bare(trials, name) and _bare(trials, name) == _bare(trials, names[0])]
    return Compared(measure, found, twins=twins)


def _arm(measure: Measure, name: str, choice: Choice) -> Arm:
    values = {seeds: measure.value(trial) for seeds, trial in choice.trials.items()}
    pulls = [measure.pulls(trial) for trial in choice.trials.values()]
    known = [pull for pull in pulls if pull is not None]
    asked = {measure.asked(trial) for trial in choice.trials.values()}
    if len(asked) > 1 or len(known) < len(pulls):
        return Arm(name, values)
    return Arm(name, values, np.mean(known, axis=0), asked.pop())


def _bare(trials: Sequence[Trial], name: str) -> set[str]:
    """What determines the runs of a condition, but for their seeds."""
    found = set()
    for trial in trials:
        if trial.condition == name and (identity := trial.manifest.get("identity")):
            config = {key: value for key, value in identity.get("config", {}).items() if key != "seeds"}
            found.add(repr(sorted({**identity, "config": config}.items())))
    return found
