"""harness study: from a sweep file to a report."""

from __future__ import annotations

import shlex
import sys

from harness.cli import Verb
from harness.errors import UserError
from harness.help import verb_help
from harness.schema import RunConfig
from harness.verbs.arguments import asks_help, flags, settings
from harness.verbs.under_hydra import MANY, Task, apart, carry_out

SWEEP = "the name of a sweep or the path of its file"


def study(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(sweep_help(words, verb))
        return 0
    own, words = settings(words, {"studies": "./studies"})
    if "--cfg" in words:
        return base_config(words, "study")
    flags(words, [])
    name, overrides = sweep_and_overrides(words, "study")
    from harness.studies.overrides import with_overrides
    from harness.studies.report import write_report
    from harness.studies.study import Study, ended
    from harness.studies.sweep_file import load_sweep

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


def sweep_help(words: list[str], verb: Verb) -> str:
    from harness.studies.sweep_file import sweep_names

    chosen = [word for word in words if "=" in word]
    return f"{verb_help(verb.usage, verb.summary, RunConfig, words=chosen)}\nSweeps: {', '.join(sweep_names())}."


def sweep_and_overrides(words: list[str], verb: str) -> tuple[str, list[str]]:
    """The one word that is no override, and the overrides. Raises UserError where there is none, or more."""
    from harness.studies.sweep_file import sweep_names

    if many := [word for word in words if word in MANY]:
        raise UserError(
            f"{many[0]} is of `harness train`. A sweep is varied without it: `harness {verb} <sweep> seed=0,1`."
        )
    bare = [word for word in words if "=" not in word and not word.startswith(("-", "~"))]
    if len(bare) > 1:
        raise UserError(
            f"harness {verb} needs {SWEEP}, one word; found {' and '.join(bare)}. What its runs are to have is said as "
            "key=value."
        )
    if not bare:
        alone = f" What a single run would be, `harness describe {' '.join(words)}` tells." if words else ""
        raise UserError(
            f"harness {verb} needs {SWEEP}, one word; found none. There are {', '.join(sweep_names())}.{alone}"
        )
    rest = list(words)
    rest.remove(bare[0])
    return bare[0], rest


def base_config(words: list[str], verb: str) -> int:
    """``--cfg job``: the composed config that all runs of a sweep start from."""
    from harness.studies.sweep_file import load_sweep

    for_hydra, rest = apart(words)
    name, overrides = sweep_and_overrides(rest, verb)
    return carry_out([*load_sweep(name).base, *overrides, *for_hydra], Task("run", lambda config: None))
