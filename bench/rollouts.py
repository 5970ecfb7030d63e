"""What GRPO does to the quickstart's largest rung, for bench/alignment.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rung import carried_out, held_out

from harness.interfaces.reward import Reward, RewardConfig
from harness.registry import Entry, registry
from harness.rundir import RunDir


@dataclass(kw_only=True)
class Constant(RewardConfig):
    """A reward that teaches nothing."""

    def build(self, tokenizer: Any) -> Reward:
        return lambda prompt, completion, fields: 1.0


def grpo(runs: str, tuned: RunDir) -> bool:
    """The share of completions of held-out prompts in which at least 16 tokens parse, and the divergence from the
    fine-tuned model that it starts from; and the same after as many steps of a reward that is always 1. True: 10 points
    are gained, and none of them by the control."""
    registry().entries["reward", "constant"] = [Entry("reward", "constant", Constant, "bench", "0")]
    aligning = [
        "corpus=python_tasks", "corpus.examples=prompts", "alignment=grpo", "method.max_new_tokens=40",
        "budget.steps=50", "optimizer.lr=0.001", f"parents.init={tuned.id}",
    ]  # fmt: skip
    plan, aligned = carried_out(aligning, runs)
    _, control = carried_out([*aligning, "alignment/reward=constant"], runs)
    share = {}
    for name, run in (("before", tuned), ("after", aligned), ("control", control)):
        found = held_out(run, plan)["held_out_measures"]
        reward, kl = found["reward"], found["kl"]
        share[name] = reward["value"]
        print(
            f"grpo {name:<8} {reward['value']:.1%} ± {reward['stderr']:.1%} of {reward['n']:.0f} completions parse, "
            f"{kl['value']:.3f} ± {kl['stderr']:.3f} nats per token from where it started", flush=True,
        )  # fmt: skip
    return bool(share["after"] - share["before"] >= 0.1 > share["control"] - share["before"])
