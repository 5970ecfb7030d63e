"""harness fit: a law from any table with N, D and loss, or from a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from harness.cli import Verb
from harness.config import FitConfig
from harness.help import verb_help
from harness.verbs.arguments import asks_help, flags, one_word, settings


def fit(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, FitConfig, only=("analysis",)))
        return 0
    own, words = settings(words, {"studies": "./studies"})
    given, words = flags(words, ["--json"])
    source, overrides = one_word(words, "a CSV file with the columns N, D and loss, or a study's name")
    from harness.composition import compose, typed

    config = cast(FitConfig, typed(compose(overrides, "fit"), "fit"))
    from harness.results.show import render
    from harness.results.table import points_from_csv

    if source.endswith(".csv") or Path(source).is_file():
        points = points_from_csv(Path(source))
    else:
        from harness.rundir import RunDir
        from harness.studies.study import kept, points_of

        points = points_of([RunDir(Path(run)) for run in kept(source, own["studies"])["runs"]])
    finding = config.analysis.analyse(points)
    if "--json" in given:
        values = {"analysis": finding.analysis, "verdict": finding.verdict, "sentences": finding.sentences}
        print(json.dumps({**values, "values": finding.values, "tables": finding.tables}, indent=1))
        return 0
    print("\n".join(finding.sentences))
    for name, rows in finding.tables.items():
        print(f"\n{name}\n{render(rows, 'table')}")
    return 0
