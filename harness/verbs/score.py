"""harness score: a trained run, scored with lm-eval."""

from __future__ import annotations

from typing import cast

from harness.cli import Verb
from harness.config import ScoreConfig, from_mapping
from harness.help import verb_help
from harness.verbs.arguments import asks_help


def score(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, ScoreConfig, only=("suite",)))
        return 0
    from harness.composition import compose, typed
    from harness.rundir import open_run

    config = cast(ScoreConfig, typed(compose(words, "score"), "score"))
    run = open_run(config.run, config.runs)
    from harness.config import RunConfig
    from harness.planning.plan import dataset
    from harness.results.show import render
    from harness.scoring.score import score_runs

    trained = from_mapping(RunConfig, run.config())
    held_out = dataset(trained).held_out if config.suite.needs_held_out() else []
    score_runs([run], config.suite, held_out, checkpoint=config.checkpoint)
    print(render([row for row in run.scores() if row["suite"] == config.suite.name], "table"))
    return 0
