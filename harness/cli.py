"""The `harness` command: its verbs, and how they end.

Exit codes: 0 done (also for an honest "not enough data"), 1 a run failed, 2 the user's input, 130 interrupted.
Results go to stdout, progress and messages to stderr. Nothing heavy is imported before a verb needs it.
"""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from harness import __version__
from harness.causes import in_words
from harness.errors import RunFailed, UserError, suggest

#: What is longer is cut where a message repeats it, though a path may be long.
LONGEST_WORD = 400


@dataclass(frozen=True)
class Verb:
    """module:function that takes the verb's arguments, and what the help says of it."""

    function: str
    usage: str
    summary: str


VERBS = {
    "train": Verb("harness.verbs.train:train", "harness train [key=value …] [-m]", "Train one run, or many with -m."),
    "score": Verb(
        "harness.verbs.score:score", "harness score run=<id|folder> [suite=…]", "Score a trained run with lm-eval."
    ),
    "generate": Verb(
        "harness.verbs.generate:generate",
        'harness generate run=<id|folder> prompt="…" [sampler=…] [tokens=64] [seed=0]',
        "Let a trained run go on from a prompt, shown as it comes.",
    ),
    "study": Verb(
        "harness.verbs.study:study",
        "harness study <sweep> [key=value …]",
        "Launch what is missing of a sweep, collect, analyse, report.",
    ),
    "plan": Verb(
        "harness.verbs.plan:plan",
        "harness plan <sweep> [key=value …] [rate=FLOP/s] [--json]",
        "Show what a sweep would launch and cost; launch nothing.",
    ),
    "describe": Verb(
        "harness.verbs.plan:describe",
        "harness describe [key=value …] [--json]",
        "Show a model's parameters, FLOPs and memory; build nothing.",
    ),
    "fit": Verb(
        "harness.verbs.fit:fit",
        "harness fit <csv|study> [analysis=…] [--json]",
        "Fit a scaling law to a table or a study.",
    ),
    "status": Verb(
        "harness.verbs.look:status",
        "harness status [study] [runs=./runs] [--json]",
        "Show each run's state and progress.",
    ),
    "results": Verb(
        "harness.verbs.look:results",
        "harness results [runs|scores|measures|options] [runs=./runs] [--sql QUERY] [--csv|--json]",
        "Query all runs, their scores and their measures.",
    ),
    "diff": Verb(
        "harness.verbs.diff:diff",
        "harness diff <run> <run> [runs=./runs] [--json]",
        "Show two runs side by side: configs, figures, scores and their difference.",
    ),
    "report": Verb(
        "harness.verbs.look:report",
        "harness report <study> [studies=./studies]",
        "Write a study's report again from what is on disk.",
    ),
    "why": Verb(
        "harness.verbs.look:why", "harness why <id>|[key=value …]", "Say what of a run would be reused and what not."
    ),
    "import": Verb(
        "harness.verbs.interchange:import_",
        "harness import <folder> [key=value …]",
        "Make a run of a Hugging Face folder.",
    ),
    "export": Verb(
        "harness.verbs.interchange:export",
        "harness export <id|folder> to=<folder> [model_type=…] [checkpoint=step] [runs=./runs]",
        "Write a run as a Hugging Face folder.",
    ),
    "sync": Verb(
        "harness.verbs.sync:sync",
        "harness sync <run> … tracker=<name> [runs=./runs]",
        "Send what runs have written to a tracker, after the fact.",
    ),
    "gc": Verb(
        "harness.verbs.gc:gc",
        "harness gc [runs=./runs] [checkpoints=true] [cache=true] [--delete]",
        "List what nothing needs any more; delete it when told.",
    ),
    "plugins": Verb(
        "harness.verbs.plugins:plugins",
        "harness plugins [--json] | harness plugins new <kind> <name> [to=<folder>] | "
        "harness plugins matrix [kind=name …] [--csv|--json]",
        "List the plugins: kind, name, version, origin, health. Begin one of your own; try what goes with what.",
    ),
    "completion": Verb(
        "harness.verbs.completion:completion",
        "harness completion bash|zsh|fish",
        "Print the script that a shell evaluates to complete words by Tab.",
    ),
}


def usage() -> str:
    lines = ["Controlled experiments on language models.", "", "usage: harness <verb> [arguments] [--debug]", ""]
    lines += [f"  {name:<10} {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join([*lines, "", "harness <verb> --help says more; harness --version prints the version."])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except UserError as error:
        return _ended(error, 2, debug)
    except RunFailed as error:
        return _ended(error, 1, debug)
    except KeyboardInterrupt:
        print("\nInterrupted. What was reached is kept: the same command goes on from there.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        told = in_words(error)
        if told is None or debug:
            raise
        return _ended(told, 2 if isinstance(told, UserError) else 1, debug)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(f"harness {__version__}")
        return 0
    verb = VERBS.get(words[0])
    if verb is None:
        raise UserError(f"harness {words[0]}: there is no such verb. {suggest(words[0], VERBS)}")
    module, _, function = verb.function.partition(":")
    run = getattr(importlib.import_module(module), function)
    return int(run(words[1:], verb) or 0)


def _ended(error: Exception, code: int, debug: bool) -> int:
    if debug:
        raise error
    words = str(error).split()
    paragraph = " ".join(word if len(word) < LONGEST_WORD else f"{word[:60]}…" for word in words)
    print(textwrap.fill(f"harness: {paragraph}", 100, break_long_words=False, break_on_hyphens=False), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
