"""A sweep's runs, resolved: stage by stage, each run after those that it starts from."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import UserError
from harness.planning.parents import split
from harness.planning.plan import Plan, resolve
from harness.schema import ROLES
from harness.studies.sweep import Row, Stage, Sweep, configs, expand

#: What became of the stages before, by name: each row with its plan.
Done = dict[str, list[tuple[Row, Plan]]]


def plans_of(sweep: Sweep) -> list[Plan]:
    """A plan for each row, parents before children. Raises UserError where a row is no run."""
    if not sweep.stages:
        return [resolve(config) for config in expand(sweep)]
    done: Done = {}
    known: dict[str, Plan] = {}
    for stage in sweep.stages:
        rows = list(_rows(sweep, stage, done))
        plans = [resolve(config, known) for config in configs([*sweep.base, *stage.base], rows)]
        known |= {plan.id: plan for plan in plans}
        done[stage.name] = list(zip(rows, plans, strict=True))
    return [plan for stage in done.values() for _, plan in stage]


def _rows(sweep: Sweep, stage: Stage, done: Done) -> Iterator[Row]:
    """The stage's rows, each once for every run that it may start from; without a parent, for every row of the
    sweep."""
    for own in stage.rows():
        role, name, at = _parent(sweep, stage, own)
        if name is None:
            yield from ({**row, **own} for row in sweep.rows())
        elif name not in done:
            raise UserError(f"stage {stage.name} of {sweep.name} starts from {name}, which does not stand before it.")
        else:
            for row, plan in done[name]:
                yield {**_handed_down(row, stage), **own, f"parents.{role}": f"{plan.id}{at}"}


def _parent(sweep: Sweep, stage: Stage, own: Row) -> tuple[str, str | None, str]:
    """The role and the name of the stage that a row starts from, and ``@step`` or nothing."""
    names = {other.name for other in sweep.stages}
    for role in ROLES:
        text = str(own.get(f"parents.{role}", stage.parents.get(role, "")))
        name, step = split(text)
        if name in names:
            return role, name, "" if step is None else f"@{step}"
    return "", None, ""


def _handed_down(row: Row, stage: Stage) -> Row:
    """What a run has of its parent's row."""
    own = stage.sets()
    return {key: value for key, value in row.items() if key not in own and not key.startswith("parents.")}
