"""The run that a name stands for, planned or there, and where it has checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import ConfigError
from harness.data.dataset import tokenizer_folder
from harness.errors import UserError
from harness.files import CHECKSUMS, is_whole, read_json
from harness.rundir import RunDir, open_run
from harness.schema import RunConfig
from harness.stored import own_tokens, stored_config

if TYPE_CHECKING:
    from harness.planning.plan import Plan


@dataclass(frozen=True)
class Named:
    """A run to start from. planned: it is not finished, and will be carried out before."""

    dir: RunDir
    config: RunConfig
    vocabulary: int
    steps: int
    data: str
    planned: bool
    inherited: Path | None
    tokens: tuple[str, ...]  #: its method's own, by name, in order


def split(text: str) -> tuple[str, str | None]:
    """``<run>@<step>`` as run and step; None where no step is given."""
    name, at, step = text.rpartition("@")
    return (name, step) if at and re.fullmatch(r"\d+|0?\.\d+", step) else (text, None)


def named_run(name: str, runs: str, planned: Mapping[str, Plan]) -> Named:
    """Of those that are planned, or there. Raises UserError where there is none of that name."""
    plan = planned.get(name)
    if plan is not None:
        run = RunDir(Path(plan.config.runs) / plan.id)
        waits = plan.config.retrain or run.state() != "finished"
        data, tokens = plan.identity["data"], _own_tokens(plan, planned)
        return Named(run, plan.config, plan.vocabulary, plan.steps, data, waits, plan.inherited, tokens)
    run = open_run(name, runs)
    config, manifest = stored_config(run), run.manifest()
    if "budget" not in manifest:
        raise UserError(f"run {run.id} has never been started.")
    data = manifest["identity"].get("data", "")  # an imported run has seen none
    inherited = run.path / "tokenizer" if "tokenizer" in manifest["identity"] else None
    vocabulary, steps, tokens = manifest["model"]["vocabulary"], manifest["budget"]["steps"], tuple(own_tokens(run))
    return Named(run, config, vocabulary, steps, data, False, inherited, tokens)


def _own_tokens(plan: Plan, planned: Mapping[str, Plan]) -> tuple[str, ...]:
    """The names of those of its method; of a run that only quantizes, of that which it quantizes."""
    if plan.config.method:
        return plan.config.extra_tokens
    text = plan.config.parents["init"]
    assert text
    return named_run(split(text)[0], plan.config.runs, planned).tokens


def checkpoint_of(run: Named, wanted: str | None) -> int:
    """The step of the checkpoint. wanted: a step, or a share of the run's steps; None: the end."""
    if run.planned and run.config.watch.patience is not None:
        raise ConfigError(
            f"run {run.dir.id} is yet to be trained and may end early (watch.patience={run.config.watch.patience}), so "
            "where it will have checkpoints is not known. Train it first, or say watch.patience=null."
        )
    if wanted is None:
        return run.steps if run.planned else _end(run.dir)
    step = int(wanted) if wanted.isdigit() else round(float(wanted) * run.steps)
    if run.planned:
        _check_will_be_there(run, step)
    elif not is_whole(run.dir.checkpoint(step)):
        whole = ", ".join(str(at) for at, folder in run.dir.checkpoints() if is_whole(folder)) or "none"
        raise UserError(f"run {run.dir.id} has no whole checkpoint at step {step}. Whole are: {whole}.")
    return step


def _end(run: RunDir) -> int:
    last = run.result_step()
    if run.state() != "finished" or last is None:
        stands = "" if last is None else f"; {run.id}@{last} is what it has"
        raise UserError(f"run {run.id} is {run.state()}, not finished{stands}.")
    return last


def _check_will_be_there(run: Named, step: int) -> None:
    trainer = run.config.trainer
    steps = checkpoint_steps(run.steps, trainer.checkpoints)
    if step not in steps:
        shown = ", ".join(map(str, steps[:20])) + (", …" if len(steps) > 20 else "")
        raise ConfigError(
            f"run {run.dir.id} will write no checkpoint at step {step}: with trainer.checkpoints={trainer.checkpoints} "
            f"its {run.steps} steps have them at {shown}."
        )
    needed = len(steps) - steps.index(step)
    if needed > trainer.keep:
        raise ConfigError(
            f"run {run.dir.id} will keep only its last trainer.keep={trainer.keep} checkpoints, and from that of step "
            f"{step} on there are {needed}. Say trainer.keep={needed}."
        )


def checkpoint_steps(steps: int, checkpoints: int) -> list[int]:
    """The steps at which a run writes checkpoints."""
    return sorted({-(-k * steps // checkpoints) for k in range(1, checkpoints + 1)})


def same_tokenizer(config: RunConfig, run: Named, inherited: Path | None = None) -> bool:
    """Of two runs whose data differ. inherited: the folder of the tokenizer that the first takes over."""
    if config.tokenizer.fingerprint() != run.config.tokenizer.fingerprint():
        return False
    if not config.tokenizer.needs_training():
        return True
    theirs = run.inherited or tokenizer_folder(run.config) if run.planned else run.dir.path / "tokenizer"
    return bool(read_json((inherited or tokenizer_folder(config)) / CHECKSUMS) == read_json(theirs / CHECKSUMS))
