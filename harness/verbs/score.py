"""harness score: a trained run, scored with lm-eval."""

from __future__ import annotations

import sys

from harness.cli import Verb
from harness.help import verb_help
from harness.schema import ScoreConfig
from harness.verbs.arguments import asks_help
from harness.verbs.under_hydra import Task, carry_out

SAMPLED = (
    "A masked model (objective=mlm) takes a forward row for each token: held-out texts are judged by every eighth of "
    "theirs, choices and answers by all."
)


def score(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, ScoreConfig, only=("suite",), words=words))
        print(f"\n{SAMPLED}")
        return 0
    return carry_out(words, Task("score", score_one))


def score_one(config: ScoreConfig) -> None:
    """Scores what is not scored yet and prints the suite's rows."""
    from harness.launch.run import held_out_of
    from harness.results.losses import asked_otherwise
    from harness.results.show import render
    from harness.rundir import open_run
    from harness.scoring.score import score_runs

    run = open_run(config.run, config.runs)
    score_runs([run], config.suite, held_out_of(run, config.suite), checkpoint=config.checkpoint)
    print(render([row for row in run.scores() if row["suite"] == config.suite.name], "table"))
    if config.suite.needs_held_out() and (said := asked_otherwise(run)):
        print(said, file=sys.stderr)
