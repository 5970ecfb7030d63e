"""What alignment does to the quickstart's largest rung, beside control runs of equal steps on shuffled labels.

The rung is pre-trained once in the folder of --runs, where every finished run is taken as it is: after a change of the
code, name another one. It takes a few minutes.

    python bench/alignment.py [--runs FOLDER] [sft …]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

from rollouts import grpo
from rung import carried_out, held_out, pretrained

from harness.rundir import RunDir

TUNING = ["corpus=python_tasks", "objective=sft", "budget.steps=400", "optimizer.lr=0.001"]


def sft(runs: str) -> bool:
    """Nats for each token of held-out answers, before and after, and after as many steps on answers whose characters
    stand in a random order, and on answers that belong to other prompts of the same module. The latter teach the form
    of an answer as well; what only the right ones teach is what the prompt says of its answer: how much more the same
    answers cost behind other prompts."""
    parent = pretrained(runs)
    own, tuned = carried_out([*TUNING, f"parents.init={parent.id}"], runs)
    moved, control = carried_out([*TUNING, f"parents.init={parent.id}", "corpus.shuffled=answers"], runs)
    _, noise = carried_out([*TUNING, f"parents.init={parent.id}", "corpus.shuffled=characters"], runs)
    loss, told = {}, {}
    for name, run in (("before", parent), ("after", tuned), ("noise", noise), ("control", control)):
        found = held_out(run, own)
        loss[name], accuracy = found["held_out_loss"], found["held_out_measures"]["answer_accuracy"]["value"]
        told[name] = held_out(run, moved)["held_out_loss"] - loss[name]
        print(
            f"sft {name:<8} {loss[name]:.3f} ± {found['held_out_stderr']:.3f} nats per token of an answer, "
            f"{accuracy:.1%} right; {told[name]:+.3f} behind other prompts", flush=True,
        )  # fmt: skip
    lowered = loss["after"] < min(loss["before"], loss["control"]) and loss["noise"] > loss["before"]
    return lowered and told["after"] > 4 * max(abs(told["before"]), abs(told["control"]))


def fine_tuned(runs: str) -> RunDir:
    """The rung after SFT, which preferences start from and are measured against."""
    return carried_out([*TUNING, f"parents.init={pretrained(runs).id}"], runs)[1]


def preferred(runs: str, name: str, *overrides: str, sought: str, before: str | None) -> bool:
    """Of held-out pairs, the share whose better answer is preferred, before and after, and after as many steps on pairs
    of which a coin has said the better one; each by the one measure of the two. True: 10 points are gained, and
    none of them by the control.

    The worse answers have a line from elsewhere: of all corruptions mixed, two names exchanged are something that a
    model of this size does not learn to tell (77 to 79 % in 400 steps, where lines from elsewhere go from 71 to 85 %).
    """
    start = f"parents.init={fine_tuned(runs).id}"
    pairs = ["corpus=python_tasks", "corpus.examples=preferences", "corpus.corruption=line"]
    aligning = [*pairs, "budget.epochs=1", *overrides, start]
    own, run = carried_out(aligning, runs)
    _, control = carried_out([*aligning, "corpus.shuffled=answers"], runs)
    share = {}
    for which, of in (("after", run), ("control", control)):
        found = held_out(of, own)["held_out_measures"]
        for when, measure in (("before", before), (which, sought)):
            share[when] = found[measure]["value"] if measure else 0.5
        margin = found["preference_margin"]
        print(
            f"{name} {which:<8} {share[which]:.1%} ± {found[sought]['stderr']:.1%} of {found[sought]['n']:.0f} pairs, "
            f"before {share['before']:.1%}; margin {margin['value']:+.3f} ± {margin['stderr']:.3f}", flush=True,
        )  # fmt: skip
    return share["after"] - share["before"] >= 0.1 > share["control"] - share["before"]


def dpo(runs: str) -> bool:
    """By the policy's own log-probabilities of the answers: those against the reference are not defined for it."""
    chosen = ["alignment=dpo", "optimizer.lr=0.001"]
    return preferred(runs, "dpo", *chosen, sought="policy_accuracy", before="reference_accuracy")


def reward_model(runs: str) -> bool:
    """Before, there is no reward: a coin's share."""
    chosen = ["alignment=reward_model", "architecture/head=reward", "optimizer.lr=0.001"]
    return preferred(runs, "reward_model", *chosen, sought="preference_accuracy", before=None)


#: What is shown of each method; true: it holds.
METHODS: dict[str, Callable[[str], bool]] = {
    "sft": sft, "dpo": dpo, "reward_model": reward_model, "grpo": lambda runs: grpo(runs, fine_tuned(runs)),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="./runs")
    parser.add_argument("methods", nargs="*", metavar="method", help=f"of {', '.join(METHODS)}; none: all of them")
    arguments = parser.parse_args()
    chosen = arguments.methods or list(METHODS)
    if unknown := set(chosen) - set(METHODS):
        parser.error(f"there is no {', '.join(sorted(unknown))}: choose of {', '.join(METHODS)}.")
    held = [METHODS[name](arguments.runs) for name in chosen]
    if not all(held):
        sys.exit(1)


if __name__ == "__main__":
    main()
