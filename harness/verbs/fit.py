"""harness fit: a law from any table with N, D and loss, or from a study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.cli import Verb
from harness.errors import UserError
from harness.help import verb_help
from harness.interfaces.analysis import Finding, Point
from harness.schema import FitConfig
from harness.verbs.arguments import asks_help, one_word, settings
from harness.verbs.under_hydra import Task, apart, carry_out


def fit(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, FitConfig, only=("analysis",), words=words))
        return 0
    own, words = settings(words, {"studies": "./studies"})
    as_json, words = "--json" in words, [word for word in words if word != "--json"]
    for_hydra, words = apart(words)
    source, rest = one_word(words, SOURCE)

    def act(config: FitConfig) -> None:
        _show(config.analysis.analyse(_points(source, own["studies"])), as_json)

    return carry_out([*rest, *for_hydra], Task("fit", act))


SOURCE = "a CSV file with the columns N, D and loss, or a study's name"


def _points(source: str, studies: str) -> Sequence[Point]:
    if source.endswith(".csv") or Path(source).is_file():
        from harness.results.table import points_from_csv

        return points_from_csv(Path(source))
    from harness.rundir import RunDir
    from harness.studies.study import kept, points_of, why_no_points

    study = kept(source, studies)
    runs = [RunDir(Path(run)) for run in study["runs"]]
    if said := why_no_points(runs):
        raise UserError(f"{said} `harness report {source}` has their scores.")
    return points_of(runs, study["conditions"])


def _show(finding: Finding, as_json: bool) -> None:
    from harness.results.show import render

    if as_json:
        parts = ("analysis", "verdict", "sentences", "values", "tables")
        print(json.dumps({key: getattr(finding, key) for key in parts}, indent=1))
        return
    print("\n".join(finding.sentences))
    for name, rows in finding.tables.items():
        print(f"\n{name}\n{render(rows, 'table')}")
