"""harness train: one run, or many under Hydra's multirun."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.cli import Verb
from harness.config import to_mapping
from harness.errors import RunFailed
from harness.help import verb_help
from harness.results.varied import told_apart
from harness.schema import RunConfig
from harness.verbs.arguments import asks_help
from harness.verbs.under_hydra import MANY, Task, carry_out

if TYPE_CHECKING:
    from harness.launch.machine import Machine, Needs
    from harness.planning.plan import Plan


def train(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, RunConfig, words=words))
        return 0
    quiet = any(word in MANY for word in words)
    task = TrainTask("run", lambda config: one_run(config, quiet, task.varied()))
    return carry_out(words, task)


def one_run(config: RunConfig, quiet: bool = False, varied: Mapping[str, str] | None = None) -> None:
    """Carries one run out and prints what came of it. varied: of several runs, in what each differs, by id."""
    from harness.planning.plan import resolve

    plan = resolve(config)
    from harness.launch.run import carry_out

    decision = carry_out(plan, quiet=quiet)
    manifest = decision.run.manifest()
    said = "reused" if decision.action == "reuse" else "trained" if plan.config.method else "quantized"
    found = _judged(manifest["result"], plan.config.method.unit) if plan.config.method else ""
    found = found or _in_bits(manifest["quantization"])
    what = (varied or {}).get(plan.id)
    print(f"run {plan.id}{f' ({what})' if what else ''} {said}: {found}, in {decision.run.path}")


def _judged(result: dict[str, Any], unit: str) -> str:
    """What was found of held-out data."""
    loss = result["held_out_loss"]
    if loss is None:
        return "nothing was held out"
    measures = {name: _with_error(found) for name, found in result.get("held_out_measures", {}).items()}
    told = _with_error({"value": loss, "stderr": result["held_out_stderr"]})
    return ", ".join([f"held-out loss {told} {unit}", *(f"{name} {said}" for name, said in measures.items())])


def _with_error(found: dict[str, Any]) -> str:
    return f"{found['value']:.4f}" + ("" if found["stderr"] is None else f" ± {found['stderr']:.4f}")


def _in_bits(told: dict[str, Any]) -> str:
    """What was quantized, and what that did to the weights and to their file."""
    return (
        f"{told['share']:.0%} of the parameters, with an error of {told['error_of_all']:.2%}, "
        f"in {told['bytes']:,} bytes ({told['bytes'] / told['bytes_in_float32']:.2f} of float32's)"
    )


class TrainTask(Task):
    """With what our launcher asks around the jobs. plans: by Hydra's number of the job."""

    def __init__(self, name: str, act: Callable[[Any], object]) -> None:
        super().__init__(name, act)
        self.plans: dict[str, Plan] = {}

    def check(self, composed: Any) -> None:
        from harness.planning.plan import resolve
        from harness.planning.reuse import allowed

        plan = resolve(cast(RunConfig, self.typed(composed)))
        allowed(plan)
        self.plans[str(composed.hydra.job.num)] = plan

    def varied(self) -> dict[str, str]:
        """In what each of several runs differs from the others, by id."""
        told = told_apart([to_mapping(plan.config) for plan in self.plans.values()])
        return {plan.id: what for plan, what in zip(self.plans.values(), told, strict=True)}

    def needs(self, composed: Any, machine: Machine) -> Needs:
        return machine.needs(self.plans[str(composed.hydra.job.num)].config)

    def before_fork(self) -> None:
        from harness.launch.progress import make_ready
        from harness.planning.reuse import decide

        make_ready([plan for plan in self.plans.values() if decide(plan).action != "reuse"])

    @contextlib.contextmanager
    def watch(self) -> Iterator[Callable[[Sequence[str]], None]]:
        """Shows how far the jobs are, whose numbers are given."""
        from harness.launch.progress import Watch

        with Watch(list(self.plans.values()), Path(next(iter(self.plans.values())).config.runs)) as watch:
            yield lambda names: watch.tick([self.plans[name].id for name in names])

    def done(self, results: Sequence[Any]) -> None:
        """One failed run is exit code 1, after the others have ended."""
        self.plans.clear()
        failed = [r for r in results if r.status.name != "COMPLETED"]
        if failed:
            each = " ".join(f"{' '.join(r.overrides or [])}: {r._return_value}" for r in failed)
            raise RunFailed(f"{len(failed)} of {len(results)} runs failed. {each}")
