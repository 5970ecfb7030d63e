"""A study: launch what is missing of a sweep, collect, analyse, report."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import plugin_config, to_mapping
from harness.errors import RunFailed, UserError
from harness.files import read_json, write_json
from harness.interfaces.analysis import Finding, Point
from harness.launch.local import Job, Outcome, Pool
from harness.launch.machine import Machine
from harness.launch.progress import Watch, make_ready
from harness.launch.run import carry_out
from harness.planning.plan import Plan
from harness.planning.reuse import Decision, allowed
from harness.reports.chain import start_of
from harness.reports.content import beginnings
from harness.results.columns import active_non_embedding
from harness.results.losses import kinds_of_loss, of_kinds
from harness.rundir import RunDir
from harness.studies.conditions import conditions_of, varied_of
from harness.studies.stages import rows_of
from harness.studies.sweep import Row, Sweep


@dataclass
class Study:
    """A sweep's runs and the folder that keeps what was found. stages: of runs that are of one, its name and what is
    varied; varied, conditions: as `harness.studies.conditions` has them. All by id."""

    sweep: Sweep
    folder: Path
    plans: list[Plan]
    command: str = ""
    stages: dict[str, str] = field(default_factory=dict)
    varied: dict[str, str] = field(default_factory=dict)
    conditions: dict[str, Row] = field(default_factory=dict)

    @classmethod
    def of(cls, sweep: Sweep, studies: str, command: str = "") -> Study:
        """Resolves every run of the sweep. Raises UserError before anything is launched or written."""
        rows = rows_of(sweep)
        conditions, varied = conditions_of(sweep, rows), varied_of(sweep, rows)
        plans = {made.plan.id: made.plan for made in rows}
        if len(plans) < len(rows):
            print(f"The sweep's {len(rows)} rows are {len(plans)} different runs.", file=sys.stderr)
        stages = {made.plan.id: made.label for made in rows if made.stage}
        folder = Path(studies) / sweep.name
        return cls(sweep, folder, list(plans.values()), command, stages, varied, conditions)

    @property
    def runs(self) -> list[RunDir]:
        return [RunDir(Path(plan.config.runs) / plan.id) for plan in self.plans]

    def carry_out(self) -> list[Outcome]:
        """Trains and scores what is missing. Returns the runs that failed; the others are finished and scored."""
        decisions = {plan.id: allowed(plan) for plan in self.plans}
        _say_decisions(decisions)
        missing = [plan for plan in self.plans if decisions[plan.id].action != "reuse"]
        machine = Machine.here()
        jobs = self._jobs(sorted(missing, key=lambda plan: -plan.own_flops), machine)
        keep(self)
        failed = self._train(missing, jobs, machine) if missing else []
        self._score()
        return failed

    def _jobs(self, plans: Sequence[Plan], machine: Machine) -> list[Job]:
        """A job for each run; one that starts from another of them comes after it."""
        names = {plan.id for plan in plans}
        return [
            Job(
                plan.id,
                functools.partial(carry_out, plan, score=False, quiet=True),
                self.folder / "logs" / f"{plan.id}.txt",
                machine.needs(plan.config),
                after=tuple(parent.path.name for parent in plan.parents.values() if parent.path.name in names),
            )
            for plan in plans
        ]

    def _train(self, plans: Sequence[Plan], jobs: Sequence[Job], machine: Machine) -> list[Outcome]:
        make_ready(plans)
        launcher, runs = plans[0].config.launcher, Path(plans[0].config.runs)
        with Watch(plans, runs, varied=self.varied) as watch:
            outcomes = Pool(launcher.workers, machine, launcher.pin, watch.tick).run(jobs)
        failed = [outcome for outcome in outcomes if outcome.code]
        for outcome in failed:
            log = self.folder / "logs" / f"{outcome.name}.txt"
            said = f"failed: {outcome.error} (see {log})" if outcome.started else f"was {outcome.error}"
            print(f"harness: run {outcome.name} {said}", file=sys.stderr)
        return failed

    def _score(self) -> None:
        """Scores what is finished; runs that share suite and data in one go, or the suite alone where its questions
        are its own."""
        from harness.scoring.score import score_runs

        groups: dict[str, list[tuple[Plan, RunDir]]] = {}
        for plan, run in zip(self.plans, self.runs, strict=True):
            if plan.config.suite is not None and run.state() == "finished":
                data = plan.identity["data"] if plan.config.suite.needs_held_out() else ""
                groups.setdefault(repr(plan.config.suite) + data, []).append((plan, run))
        for group in groups.values():
            plan, suite = group[0][0], group[0][0].config.suite
            workers = plan.config.launcher.workers or len(Machine.here().cores)
            held_out = plan.dataset().held_out if suite.needs_held_out() else []
            score_runs([run for _, run in group], suite, held_out, workers=workers)


def _say_decisions(decisions: dict[str, Decision]) -> None:
    counts: dict[str, int] = {}
    for decision in decisions.values():
        counts[decision.action] = counts.get(decision.action, 0) + 1
    what = ", ".join(f"{n} to {action}" for action, n in counts.items())
    print(f"{len(decisions)} runs: {what}.", file=sys.stderr)


# ------------------------------------------------------------------------------------- what is kept


#: What a kept study has, and of which types.
KEPT = {"name": str, "question": str, "sweep": str, "analyses": list, "command": str, "runs": list}
#: What those of earlier versions have not, by run.
LATER: dict[str, dict[str, Any]] = {"stages": {}, "varied": {}, "conditions": {}, "asked": {}}


def keep(study: Study) -> None:
    """Writes what a report needs beside the runs: the sweep, and where the runs lie, seen from the study's folder."""
    write_json(
        study.folder / "study.json",
        {
            "name": study.sweep.name,
            "question": study.sweep.question,
            "sweep": study.sweep.text,
            "analyses": [to_mapping(analysis) for analysis in study.sweep.analyses],
            "command": study.command,
            "runs": [os.path.relpath(run.path, study.folder) for run in study.runs],
            "stages": study.stages,
            "varied": study.varied,
            "conditions": study.conditions,
            "asked": _asked(study.plans),
        },
    )


def _asked(plans: Sequence[Plan]) -> dict[str, str | None]:
    """By run, the settings of the suite that scores it (`harness.scoring.score`); null: none."""
    from harness.scoring.score import settings_digest

    suites = {repr(plan.config.suite): plan.config.suite for plan in plans}
    digests = {name: suite and settings_digest(suite) for name, suite in suites.items()}
    return {plan.id: digests[repr(plan.config.suite)] for plan in plans}


def kept(name: str, studies: str) -> dict[str, Any]:
    """What `keep` wrote, by the study's name or folder. Raises UserError."""
    for folder in (Path(studies) / name, Path(name)):
        if (file := folder / "study.json").is_file():
            found = read_json(file)
            if _is_kept(found):
                runs = [os.path.normpath(folder / run) for run in found["runs"]]
                return {**LATER, **found, "folder": str(folder), "runs": runs}
            raise UserError(f"{file} is not what `harness study` writes. `harness study {name}` makes it again.")
    known = ", ".join(sorted(p.parent.name for p in Path(studies).glob("*/study.json"))) or "none"
    raise UserError(f"There is no study {name} in {studies}. There are: {known}. `harness study {name}` makes one.")


def _is_kept(found: Any) -> bool:
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in KEPT.items()):
        return False
    if not all(isinstance(found.get(key, {}), dict) for key in LATER):
        return False
    return all(isinstance(run, str) and "\0" not in run for run in found["runs"])


def points_of(runs: Sequence[RunDir], conditions: Mapping[str, Row] | None = None) -> list[Point]:
    """Each finished run as a law sees it: active non-embedding N, D tokens, C = 6ND FLOPs, held-out loss. A trunk
    that others of them continue is no end, and left out; so is what begins with others' weights (`beginnings`). None
    where the losses are no values of one thing: `why_no_points` says why. conditions: by id, as a study has them."""
    ends, of = _ends(runs), conditions or {}
    return [] if len(kinds_of_loss(ends)) > 1 else [_point(m, of.get(m["id"], {})) for m in ends]


def why_no_points(runs: Sequence[RunDir]) -> str:
    """One sentence where the runs' losses are of several kinds, to which no law is fitted; else empty."""
    kinds = kinds_of_loss(_ends(runs))
    return f"No law is fitted, since the losses are of {of_kinds(kinds)}." if len(kinds) > 1 else ""


def _ends(runs: Sequence[RunDir]) -> list[dict[str, Any]]:
    """The manifests of the runs that are points of a law, if their losses can be compared."""
    manifests = {run.id: run.manifest() if run.state() == "finished" else {} for run in runs}
    trunks = {m.get("identity", {}).get("parents", {}).get("continue", "").split("@")[0] for m in manifests.values()}
    ends = _alike(manifests) - trunks
    return [
        {**manifest, "id": name}
        for name, manifest in manifests.items()
        if name in ends and manifest.get("result", {}).get("held_out_loss") is not None
    ]


def _point(manifest: dict[str, Any], of: Row) -> Point:
    tuned = [f"{key}={value}" for key, value in of.get("tuned", {}).items()]
    return Point(
        N=active_non_embedding(manifest),
        D=manifest["budget"]["tokens"],
        C=manifest["budget"]["flops_6nd"],
        loss=manifest["result"]["held_out_loss"],
        seed=manifest["identity"]["config"]["seeds"]["init"],
        run=manifest["id"],
        condition=" ".join(filter(None, (of.get("condition"), *tuned))),
    )


def notes(analyses: Sequence[Any], runs: Sequence[RunDir]) -> list[str]:
    """What a reader of the laws must know of the runs that are no points of them."""
    if not analyses:
        return []
    manifests = {run.id: run.manifest() for run in runs if run.state() == "finished"}
    others = [name for name in manifests if name not in _alike(manifests)]
    found = [said] if (said := why_no_points(runs)) else []
    if not others:
        return found
    return [
        *found,
        f"No points of the laws: {len(others)} runs that begin with the weights of others, {', '.join(others)}. They "
        "have seen more than their own tokens, and their losses may be of another kind.",
    ]


def _alike(manifests: Mapping[str, Any]) -> set[str]:
    return beginnings({name: start_of(manifest)[0] for name, manifest in manifests.items()})


def analyse(analyses: Sequence[Any], found: Sequence[Point]) -> list[Finding]:
    """Each analysis on the same points. One that cannot say anything says so."""
    return [plugin_config("analysis", analysis, "analyses").analyse(found) for analysis in analyses]


def ended(failed: Sequence[Outcome]) -> None:
    """Raises RunFailed if any run failed, after all else is done."""
    if failed:
        parts = [
            f"{len(names)} run(s) {said}: {', '.join(names)}"
            for said, started in (("failed", True), ("were not started", False))
            if (names := [outcome.name for outcome in failed if outcome.started == started])
        ]
        raise RunFailed(f"{'; '.join(parts)}. The report is made of the others.")
