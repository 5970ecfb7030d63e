"""A sweep's runs, resolved: stage by stage, each run after those that it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.errors import UserError, standing_in
from harness.planning.named import split
from harness.planning.plan import Plan, resolve
from harness.schema import ROLES, RunConfig
from harness.studies.expansion import configs, expand
from harness.studies.sweep import Row, Stage, Sweep, key_of


@dataclass(frozen=True)
class Made:
    """One row of a sweep. stage: the name of its stage. variant: that of its variant. chain: the ids of the runs that
    it comes from and its own, by the names of their stages."""

    stage: str
    row: Row
    plan: Plan
    chain: dict[str, str] = field(default_factory=dict)
    variant: str = ""

    @property
    def label(self) -> str:
        """The stage, and what is varied besides seeds."""
        varied = [f"{key}={v}" for key, v in self.row.items() if not key.startswith(("parents.", "seed"))]
        return " ".join([self.stage, *varied])


#: What became of the stages before, by name.
Done = dict[str, list[Made]]


def plans_of(sweep: Sweep) -> list[Plan]:
    """A plan for each row, parents before children. Raises UserError where a row is no run."""
    return [made.plan for made in rows_of(sweep)]


def rows_of(sweep: Sweep) -> list[Made]:
    """Each row with its plan, as `plans_of` has them."""
    if not sweep.stages:
        named = zip(sweep.named_rows(), expand(sweep), strict=True)
        return [Made("", row, _plan(config, sweep.where(name)), variant=name) for (name, row), config in named]
    done: Done = {}
    known: dict[str, Plan] = {}
    for stage in sweep.stages:
        rows, chains = zip(*_rows(sweep, stage, done), strict=True)
        base = [override for override in sweep.base if not stage.is_own(key_of(override))]
        where = f"{sweep.where()}, stage {stage.name}"
        plans = [_plan(config, where, known) for config in configs([*base, *stage.base], rows, [where] * len(rows))]
        known |= {plan.id: plan for plan in plans}
        done[stage.name] = [
            Made(stage.name, row, plan, {**chain, stage.name: plan.id})
            for row, plan, chain in zip(rows, plans, chains, strict=True)
        ]
    return [made for stage in done.values() for made in stage]


def _plan(config: RunConfig, where: str, known: dict[str, Plan] | None = None) -> Plan:
    with standing_in(where):
        return resolve(config, known)


def _rows(sweep: Sweep, stage: Stage, done: Done) -> Iterator[tuple[Row, dict[str, str]]]:
    """The stage's rows with the runs that they come from: each once for every run that it may start from; without a
    parent, for every row of the sweep."""
    for own in stage.rows():
        parents = _parents(sweep, stage, own)
        for name, _ in parents.values():
            if name not in done:
                raise UserError(
                    f"stage {stage.name} of {sweep.name} starts from {name}, which does not stand before it."
                )
        if not parents:
            yield from (({**_handed_down(row, None, stage), **own}, {}) for row in sweep.rows())
            continue
        first, _ = next(iter(parents.values()))
        giver = next(other for other in sweep.stages if other.name == first)
        for made in done[first]:
            found = {role: (_of_chain(stage, made, name, done), at) for role, (name, at) in parents.items()}
            named = {f"parents.{role}": f"{parent.plan.id}{at}" for role, (parent, at) in found.items()}
            chain = {name: run for parent, _ in found.values() for name, run in parent.chain.items()}
            yield {**_handed_down(made.row, giver, stage), **own, **named}, {**chain, **made.chain}


def _parents(sweep: Sweep, stage: Stage, own: Row) -> dict[str, tuple[str, str]]:
    """By role, the name of the stage that a row leans on, and ``@step`` or nothing."""
    names, found = {other.name for other in sweep.stages}, {}
    for role in ROLES:
        name, step = split(str(own.get(f"parents.{role}", stage.parents.get(role, ""))))
        if name in names:
            found[role] = name, "" if step is None else f"@{step}"
    return found


def _of_chain(stage: Stage, made: Made, name: str, done: Done) -> Made:
    """The run of a stage that belongs to the same chain as another: which that one comes from, or whose values agree
    wherever both have some. Raises UserError where that is not a single one."""
    if name in made.chain:
        return next(other for other in done[name] if other.plan.id == made.chain[name])
    found = {other.plan.id: other for other in done[name] if _agree(other.row, made.row)}
    if len(found) != 1:
        raise UserError(
            f"stage {stage.name} leans on {made.stage} and on {name}, and {len(found) or 'none'} of the runs of {name} "
            f"have the values of run {made.plan.id} of {made.stage}: one must. Vary both stages alike."
        )
    return next(iter(found.values()))


def _agree(one: Row, other: Row) -> bool:
    return all(one[key] == other[key] for key in one.keys() & other.keys() if not key.startswith("parents."))


def _handed_down(row: Row, giver: Stage | None, stage: Stage) -> Row:
    """What a run has of its parent's row, or of the sweep's."""
    kept = {key for key in row if giver is not None and giver.keeps(key)}
    return {key: value for key, value in row.items() if key not in kept and not stage.is_own(key)}
