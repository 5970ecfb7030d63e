"""harness status, results, report, why: what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.cli import Verb
from harness.errors import UserError
from harness.help import verb_help
from harness.schema import RunConfig
from harness.verbs.arguments import asks_help, flags, one_word, only, settings

FOLDERS = {"runs": "./runs", "studies": "./studies"}


def _short_help(words: list[str], verb: Verb) -> bool:
    if asks_help(words):
        print(f"{verb.summary}\n\nusage: {verb.usage}")
        return True
    return False


def status(words: list[str], verb: Verb) -> int:
    if _short_help(words, verb):
        return 0
    own, words = settings(words, FOLDERS)
    given, words = flags(words, ["--json"])
    from harness.results.show import render
    from harness.results.status import status as status_rows
    from harness.rundir import RunDir

    if words:
        name, rest = one_word(words, "the name of a study")
        only(rest, ["runs=", "studies="])
        from harness.studies.study import kept

        study = kept(name, own["studies"])
        runs, varied = [RunDir(Path(run)) for run in study["runs"]], study["varied"]
    else:
        runs, varied = _run_directories(own["runs"]), {}
    print(render(status_rows(runs, varied), "json" if "--json" in given else "table"))
    return 0


def _run_directories(runs: str) -> list[Any]:
    from harness.rundir import RunDir

    found = sorted(_existing(runs).glob("*/manifest.json"))
    return [RunDir(path.parent) for path in found if not path.parent.name.startswith(".")]


def _existing(runs: str) -> Path:
    if not Path(runs).is_dir():
        raise UserError(f"runs={runs}: there is no such folder. `harness train` makes one, or say runs=<folder>.")
    return Path(runs)


def results(words: list[str], verb: Verb) -> int:
    from harness.results.query import EVERYTHING, TABLES, overview, query, tables_told
    from harness.results.show import render

    if asks_help(words):
        print(f"{verb.summary}\n\nusage: {verb.usage}\n\nTables, to be named or asked by --sql:\n\n{tables_told()}")
        return 0
    sql = None
    if "--sql" in words:
        at = words.index("--sql")
        if at + 1 >= len(words):
            raise UserError('--sql needs a query, such as --sql "select * from runs".')
        sql, words = words[at + 1], words[:at] + words[at + 2 :]
    own, words = settings(words, {"runs": "./runs"})
    given, words = flags(words, ["--csv", "--json", "--sql"])
    table = words.pop(0) if words and words[0] in TABLES and sql is None else "runs"
    only(words, [*TABLES, "runs=", "--sql", "--csv", "--json"])
    _existing(own["runs"])
    form = "json" if "--json" in given else "csv" if "--csv" in given else "table"
    if form == "table" and table == "runs" and sql is None:
        rows = overview(own["runs"])
    else:
        rows = query(own["runs"], sql or (EVERYTHING if table == "runs" else f"SELECT * FROM {table}"))
    print(render(rows, form))
    return 0


def report(words: list[str], verb: Verb) -> int:
    if _short_help(words, verb):
        return 0
    own, words = settings(words, {"studies": "./studies"})
    name, rest = one_word(words, "the name of a study")
    only(rest, ["studies="])
    from harness.studies.report import write_report

    path, findings = write_report(name, own["studies"])
    for sentence in next((f.sentences for f in findings if f.analysis == "stages"), []):
        print(f"- {sentence}")
    print(f"Report: {path}")
    return 0


def why(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, RunConfig, words=words))
        return 0
    from harness.planning.plan import resolve
    from harness.planning.reuse import decide

    own, rest = settings(words, {"runs": "./runs"})
    if len(rest) == 1 and "=" not in rest[0]:
        from harness.rundir import open_run
        from harness.stored import stored_config

        run = open_run(rest[0], own["runs"])
        if imported := run.manifest().get("imported"):
            print(
                f"run {run.id}: reuse. It was imported from {imported['folder']}; `harness import` knows its content."
            )
            return 0
        asked_now = {"runs": str(run.path.parent), "retrain": False, "reuse": "same"}
        config = stored_config(run, **asked_now)
    else:
        from harness.composition import run_config

        config = run_config(words)
    plan = resolve(config)
    decision = decide(plan)
    print(f"run {plan.id}: {decision.action}. {decision.reason}")
    if len(rest) == 1 and "=" not in rest[0] and plan.id != run.id:
        print(f"Its data or the meaning of its config has changed since it was made as {run.id}.")
    scores = {(row["suite"], row["checkpoint"]) for row in decision.run.scores()}
    for suite, checkpoint in sorted(scores):
        print(f"scored: {suite} at step {checkpoint}")
    print("What determines its result:")
    print(json.dumps(plan.identity, indent=1, sort_keys=True))
    return 0
