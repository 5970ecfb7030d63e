"""harness train: one run, or many under Hydra's multirun."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, cast

from harness.cli import Verb
from harness.config import ConfigError, RunConfig
from harness.errors import RunFailed
from harness.help import verb_help
from harness.verbs.arguments import asks_help, flags

#: Words that Hydra itself must see.
HYDRA = (
    "-m",
    "--multirun",
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--resolve",
    "--package",
    "-p",
    "--hydra-help",
    "--shell-completion",
    "-sc",
)


def train(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, RunConfig))
        return 0
    if any(word in HYDRA for word in words):
        return under_hydra(words, "run", TrainTask())
    flags(words, [])
    from harness.composition import run_config

    one_run(run_config(words))
    return 0


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


class TrainTask:
    """The task that Hydra calls, with what our launcher asks of it around the jobs."""

    def __call__(self, composed: Any) -> None:
        one_run(_typed(composed), quiet=not sys.stderr.isatty())

    def check(self, composed: Any) -> None:
        """Called for every job before the first is started."""
        from harness.planning.plan import resolve
        from harness.planning.reuse import allowed

        allowed(resolve(_typed(composed)))

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


def _typed(composed: Any) -> RunConfig:
    from harness.composition import typed

    return cast(RunConfig, typed(composed))


def under_hydra(words: list[str], name: str, task: Any) -> int:
    """Hydra's own main; its exceptions come to us whole, and end as ours do."""
    import hydra
    from hydra.errors import HydraException

    from harness.composition import compose, explain, for_hydra, prepare_hydra, typed
    from harness.plugins import config_folder

    prepare_hydra()
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    if not any(word in ("-m", "--multirun") for word in words):
        typed(compose(overrides, name), name)
    before, sys.argv = sys.argv, ["harness", *for_hydra(words)]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=name)(task)()
    except HydraException as error:
        raise ConfigError(explain(error, overrides, name)) from error
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = before
    return 0
