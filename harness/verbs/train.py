"""harness train: one run, or many under Hydra's multirun."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

from harness.cli import Verb
from harness.config import RunConfig
from harness.errors import RunFailed, UserError
from harness.help import verb_help
from harness.verbs.arguments import asks_help

#: Words that Hydra itself must see.
HYDRA = ("-m", "--multirun", "--cfg", "-c", "--info", "-i", "--resolve", "--package", "-p", "--hydra-help", "--shell-completion", "-sc")


def train(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, RunConfig))
        return 0
    if any(word in HYDRA for word in words):
        return under_hydra(words, "run", TrainTask())
    from harness.composition import run_config

    one_run(run_config(words))
    return 0


def one_run(config: RunConfig, quiet: bool = False) -> None:
    """Carries one run out and prints what came of it."""
    from harness.planning.plan import resolve

    plan = resolve(config)
    from harness.launch.run import carry_out

    decision = carry_out(plan, quiet=quiet)
    result = decision.run.manifest().get("result", {})
    said = "reused" if decision.action == "reuse" else "trained"
    print(f"run {plan.id} {said}: held-out loss {result.get('held_out_loss', float('nan')):.4f} nats per token, in {decision.run.path}")


class TrainTask:
    """The task that Hydra calls, with what our launcher asks of it around the jobs."""

    def __call__(self, composed: Any) -> None:
        from harness.composition import typed

        one_run(cast(RunConfig, typed(composed)), quiet=not sys.stderr.isatty())

    def check(self, composed: Any) -> None:
        """Called for every job before the first is started."""
        from harness.composition import typed
        from harness.planning.plan import resolve

        with user_errors():
            resolve(cast(RunConfig, typed(composed)))

    def before_fork(self) -> None:
        """Imports what is heavy once, for all jobs."""
        import harness.launch.run
        import harness.training.train  # noqa: F401

    def done(self, results: Sequence[Any]) -> None:
        """Tells every failure; one failed run is exit code 1."""
        failed = [r for r in results if r.status.name != "COMPLETED"]
        for result in failed:
            print(f"harness: a run failed ({' '.join(result.overrides or [])}): {result._return_value}", file=sys.stderr)
        if failed:
            raise SystemExit(1)


class _Ended(SystemExit):
    """Passes through Hydra, which would turn any other exception into noise."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(2)
        self.error = error


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Lets our own errors pass through Hydra untouched."""
    try:
        yield
    except (UserError, RunFailed, KeyboardInterrupt) as error:
        raise _Ended(error) from error


def under_hydra(words: list[str], name: str, task: Any) -> int:
    """Hydra's own main, with its habits that write files turned off; our errors end as ours do."""
    import hydra

    from harness.composition import compose, for_hydra, prepare_hydra
    from harness.plugins import config_folder

    prepare_hydra()
    many = any(word in ("-m", "--multirun") for word in words)
    if not many:
        compose([word for word in words if "=" in word and not word.startswith("-")], name)
    quiet = ["hydra.run.dir=.", "hydra.sweep.dir=.", "hydra.sweep.subdir=.", "hydra.output_subdir=null"]
    quiet += ["hydra/job_logging=none", "hydra/hydra_logging=none"]
    before, sys.argv = sys.argv, ["harness", *for_hydra(words), *quiet]
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=name)(task)()
    except _Ended as end:
        raise end.error from None
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = before
    return 0
