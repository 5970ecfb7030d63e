"""harness train: one run, or many under Hydra's multirun."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, cast

from harness.cli import Verb
from harness.config import RunConfig
from harness.errors import RunFailed
from harness.help import verb_help
from harness.verbs.arguments import asks_help
from harness.verbs.under_hydra import MANY, Task, carry_out


def train(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, RunConfig))
        return 0
    quiet = any(word in MANY for word in words) and not sys.stderr.isatty()
    return carry_out(words, TrainTask("run", lambda config: one_run(config, quiet)))


def one_run(config: RunConfig, quiet: bool = False) -> None:
    """Carries one run out and prints what came of it."""
    from harness.planning.plan import resolve

    plan = resolve(config)
    from harness.launch.run import carry_out

    decision = carry_out(plan, quiet=quiet)
    loss = decision.run.manifest()["result"]["held_out_loss"]
    said = "reused" if decision.action == "reuse" else "trained"
    found = "nothing was held out" if loss is None else f"held-out loss {loss:.4f} nats per token"
    print(f"run {plan.id} {said}: {found}, in {decision.run.path}")


class TrainTask(Task):
    """With what our launcher asks around the jobs."""

    def check(self, composed: Any) -> None:
        from harness.planning.plan import resolve
        from harness.planning.reuse import allowed

        allowed(resolve(cast(RunConfig, self.typed(composed))))

    def before_fork(self) -> None:
        """Imports what is heavy once, for all jobs."""
        import harness.launch.run
        import harness.training.fit  # noqa: F401

    def done(self, results: Sequence[Any]) -> None:
        """One failed run is exit code 1, after the others have ended."""
        failed = [r for r in results if r.status.name != "COMPLETED"]
        if failed:
            each = "; ".join(f"{' '.join(r.overrides or [])}: {r._return_value}" for r in failed)
            raise RunFailed(f"{len(failed)} of {len(results)} runs failed. {each}")
