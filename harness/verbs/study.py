"""harness study: from a sweep file to a report."""

from __future__ import annotations

import shlex
import sys

from harness.cli import Verb
from harness.help import verb_help
from harness.schema import RunConfig
from harness.verbs.arguments import asks_help, flags, one_word, settings
from harness.verbs.under_hydra import Task, apart, carry_out

SWEEP = "the name of a sweep or the path of its file"


def study(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, RunConfig, words=words))
        return 0
    own, words = settings(words, {"studies": "./studies"})
    if "--cfg" in words:
        return base_config(words)
    flags(words, [])
    name, overrides = one_word(words, SWEEP)
    from harness.studies.report import write_report
    from harness.studies.study import Study, ended
    from harness.studies.sweep import load_sweep, with_overrides

    sweep = with_overrides(load_sweep(name), overrides)
    one = Study.of(sweep, own["studies"], command=shlex.join(["harness", "study", name, *overrides]))
    failed = one.carry_out()
    path, findings = write_report(sweep.name, own["studies"])
    print(f"\nStudy {sweep.name}: {sweep.question}", file=sys.stderr)
    said: dict[str, str] = {}
    for finding in findings:
        for sentence in finding.sentences:
            said.setdefault(sentence, finding.analysis)  # what two analyses say is said once
    for sentence, analysis in said.items():
        print(f"- {analysis}: {sentence}")
    print(f"Report: {path}")
    ended(failed)
    return 0


def base_config(words: list[str]) -> int:
    """``--cfg job``: the composed config that all runs of a sweep start from."""
    from harness.studies.sweep import load_sweep

    for_hydra, rest = apart(words)
    name, overrides = one_word(rest, SWEEP)
    return carry_out([*load_sweep(name).base, *overrides, *for_hydra], Task("run", lambda config: None))
