"""From a study's folder to its report: everything is read from disk, so it can be written again at any time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import write_json
from harness.interfaces.analysis import Finding
from harness.reports.conditions import conditions
from harness.reports.content import Report, best, rungs
from harness.reports.page import write
from harness.reports.stages import gained_and_lost
from harness.results.rows import read_manifest
from harness.rundir import RunDir
from harness.studies.baselines import Row, baselines_of, levels
from harness.studies.study import analyse, kept, notes, points_of


def write_report(name: str, studies: str) -> tuple[Path, list[Finding]]:
    """Analyses a study's finished runs; writes ``report.html``, ``figures/`` and ``findings.json`` into its folder."""
    study = kept(name, studies)
    folder, runs = Path(study["folder"]), [RunDir(Path(run)) for run in study["runs"]]
    report = content(study, folder, runs)
    findings = [*report.findings, *([report.stages] if report.stages else [])]
    write_json(folder / "findings.json", [_plain(finding) for finding in findings])
    return write(report, folder), findings


def content(study: dict[str, Any], folder: Path, runs: list[RunDir]) -> Report:
    manifests = [{**(read_manifest(run.path) or {"state": "missing"}), "id": run.id} for run in runs]
    finished = [run for run in runs if run.state() == "finished"]
    scores, others = _asked([row for run in finished for row in run.scores()], study["asked"])
    answer = conditions(runs, study["conditions"], scores)
    report = Report(
        name=study["name"],
        question=study["question"],
        created=max((str(m.get("created", "")) for m in manifests), default=""),
        command=study["command"],
        runs_folder=runs[0].path.parent if runs else Path("runs"),
        runs=manifests,
        curves={run.id: _curve(run) for run in finished},
        scores=scores,
        findings=[*([answer] if answer else []), *analyse(study["analyses"], points_of(runs, study["conditions"]))],
        stages=gained_and_lost(runs, study.get("stages", {})),
        notes=[*notes(study["analyses"], runs), *others],
        varied=study["varied"],
        conditions={name: of["condition"] for name, of in study["conditions"].items()},
        sweep=study["sweep"],
    )
    winner = best(rungs(report))
    if winner:
        run = next(run for run in runs if run.id == winner["id"])
        compared = _compared(run, folder, report.notes)
        report.findings += [compared] if compared else []
        report.levels = levels(run, compared)
    return report


def _compared(run: RunDir, folder: Path, notes: list[str]) -> Finding | None:
    """The baselines of the best run; a note where its plugins or its corpus are not here to count them by."""
    try:
        return baselines_of(run, folder)
    except UserError as error:
        notes.append(f"No baselines stand beside the scores. {error}")
        return None


def _asked(scores: list[Row], asked: dict[str, Any]) -> tuple[list[Row], list[str]]:
    """The scores that the study asked for, and a note of others that its runs have. A study that does not know what it
    asked for shows all."""
    own = [row for row in scores if row["run"] not in asked or row.get("settings") == asked[row["run"]]]
    others = sorted({str(row["suite"]) for row in scores if row not in own})
    if not others:
        return own, []
    return own, [
        f"The runs have scores that this study did not ask for, of the suites {', '.join(others)}, which are not shown "
        "here: `harness results scores` shows them."
    ]


def _curve(run: RunDir) -> list[tuple[int, int, float]]:
    """(step, tokens, loss) of each row that has them."""
    return [(r["step"], r["tokens"], r["loss"]) for r in run.metrics() if {"tokens", "loss"} <= r.keys()]


def _plain(finding: Finding) -> dict[str, Any]:
    parts = {key: getattr(finding, key) for key in ("analysis", "verdict", "sentences", "values", "tables")}
    return dict(json.loads(json.dumps(parts)))
