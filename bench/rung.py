"""The quickstart's largest rung, and runs that start from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.composition import run_config
from harness.launch.run import carry_out
from harness.planning.plan import Plan, resolve
from harness.rundir import RunDir
from harness.training.job import TrainingJob
from harness.training.train import load_model

#: Training sequences and their model, as in sweeps/quickstart.yaml.
RUNG = [
    "scale=ladder", "scale.width=64", "data.batch_size=8", "schedule.warmup=0.05", "optimizer.betas=[0.9,0.99]",
    "suite=null",
]  # fmt: skip
PRETRAINING = ["corpus=stdlib_and_problems", "budget.tokens=2000000"]


def carried_out(overrides: Sequence[str], runs: str) -> tuple[Plan, RunDir]:
    """A run of the rung; one that is finished in this folder is taken as it is, whatever code made it."""
    plan = resolve(run_config([*RUNG, *overrides, "reuse=any", f"runs={runs}"]))
    return plan, carry_out(plan, quiet=True).run


def pretrained(runs: str) -> RunDir:
    return carried_out(PRETRAINING, runs)[1]


def held_out(run: RunDir, plan: Plan) -> dict[str, Any]:
    """What `harness.training.held_out` finds of a run's model under another run's method, on its held-out data."""
    from harness.training.held_out import evaluate
    from harness.training.parents import setting

    flops = plan.account.forward_flops, plan.training_flops
    job = TrainingJob(plan.config.with_seeds(), plan.steps, plan.dataset(), plan.vocabulary, *flops, plan.parents)
    return evaluate(load_model(run)[0], plan.config.method.build(setting(job)), job, lambda: None)
