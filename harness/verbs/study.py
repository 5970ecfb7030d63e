"""harness study: from a sweep file to a report."""

from __future__ import annotations

import shlex
import sys

from harness.cli import Verb
from harness.config import RunConfig
from harness.help import verb_help
from harness.verbs.arguments import asks_help, one_word, settings


def study(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, RunConfig))
        return 0
    own, words = settings(words, {"studies": "./studies"})
    name, overrides = one_word(words, "the name of a sweep or the path of its file")
    from harness.studies.report import write_report
    from harness.studies.study import Study, ended, keep
    from harness.studies.sweep import load_sweep, with_overrides

    sweep = with_overrides(load_sweep(name), overrides)
    one = Study.of(sweep, own["studies"], command=shlex.join(["harness", "study", name, *overrides]))
    failed = one.carry_out()
    keep(one)
    path, findings = write_report(sweep.name, own["studies"])
    print(f"\nStudy {sweep.name}: {sweep.question}", file=sys.stderr)
    for finding in findings:
        for sentence in finding.sentences[:3]:
            print(f"- {finding.analysis}: {sentence}")
    print(f"Report: {path}")
    ended(failed)
    return 0
