"""What a run starts from: the runs and folders that `parents` names, and whether this run can start from them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import ConfigError
from harness.data.dataset import fingerprint, tokenizer_folder
from harness.errors import UserError
from harness.files import CHECKSUMS, is_whole, read_json
from harness.identity import flat_difference
from harness.planning.fitting import check_beside, check_init, check_leaned_on, leans_on
from harness.rundir import RunDir, open_run
from harness.schema import STARTS, CurriculumConfig, RunConfig
from harness.stored import own_tokens, stored_config
from harness.training.job import Parent

if TYPE_CHECKING:
    from harness.planning.plan import Plan

#: What a continued run shares with its parent: the model, the optimizer, the stream, and every source of chance.
HELD = ("architecture", "optimizer", "seeds")
HELD_DATA = ("data.batch_size", "data.sequence_length")


@dataclass(frozen=True)
class _Run:
    """A run to start from. planned: it is not finished, and will be carried out before."""

    dir: RunDir
    config: RunConfig
    vocabulary: int
    steps: int
    data: str
    planned: bool
    inherited: Path | None
    tokens: tuple[str, ...]  #: its method's own, by name, in order


def resolve_parents(
    config: RunConfig,
    data: str,
    vocabulary: int,
    steps: int,
    planned: Mapping[str, Plan],
    inherited: Path | None = None,
) -> dict[str, Parent]:
    """By role. data, vocabulary, steps: what the run itself was resolved to. planned: runs that will be carried out
    before this one, by id. inherited: the folder of the parent's tokenizer, where the run uses it.

    Raises ConfigError where there is no such run or checkpoint, and where this run cannot start from it.
    """
    found = {}
    for role, text in config.parents.items():
        if text:
            try:
                found[role] = _resolved(role, text, config, data, vocabulary, steps, planned, inherited)
            except UserError as error:
                raise ConfigError(f"parents.{role}={text}: {error}") from None
    return found


def leaned_on(config: RunConfig, parents: Mapping[str, Parent]) -> dict[str, Parent]:
    """The parents that the method leans on: where one is not given, the run's `init`. Raises ConfigError where it has
    none."""
    if config.method is None:
        return {}
    missing = [role for role in config.method.leans_on if role not in parents]
    if untaught := [role for role in missing if role in config.method.taught_by]:
        raise ConfigError(
            f"objective={config.method.name} learns from a {untaught[0]} and has none: give "
            f"parents.{untaught[0]}=<run>, or a folder of transformers."
        )
    start = parents.get("init")
    if missing and "continue" in parents:
        raise ConfigError(
            f"a run that continues an alignment leans on what that leant on: give parents.{missing[0]}, what the "
            "continued run had as such, or started from."
        )
    if missing and start is None:
        raise ConfigError(
            f"alignment={config.method.name} leans on a {missing[0]} and has none: give parents.{missing[0]}, or "
            "parents.init, which then is both."
        )
    return dict.fromkeys(missing, start) if start else {}


def _resolved(
    role: str,
    text: str,
    config: RunConfig,
    data: str,
    vocabulary: int,
    steps: int,
    planned: Mapping[str, Plan],
    inherited: Path | None,
) -> Parent:
    if is_transformers(Path(text)):
        if role == "continue":
            raise ConfigError(
                "a folder of transformers has weights only. Say parents.init, or continue a run of the harness."
            )
        return _of_folder(role, Path(text), config, vocabulary)
    name, wanted = split(text)
    run = named_run(name, config.runs, planned)
    step = _step(run, wanted)
    if role == "continue":
        _check_continue(config, data, vocabulary, steps, run, step, inherited is not None)
    elif role == "init":
        check_init(config, vocabulary, run.config.architecture, run.vocabulary)
        if config.adapter:  # otherwise its tokenizer may be another, and need not be made to see whether it is
            same = data == run.data or inherited is not None or _same_tokenizer(config, run)
            check_beside(config, vocabulary, run.vocabulary, same, run.tokens)
    if leans := leans_on(config, role):
        same = data == run.data or _same_tokenizer(config, run, inherited)
        if leans in config.method.taught_by:
            _check_teaches(config, run)
        check_leaned_on(leans, config, vocabulary, run.config.architecture, run.vocabulary, same)
    return Parent(run.dir.path, step, f"{run.dir.id}@{step}")


def inherited_tokenizer(config: RunConfig, planned: Mapping[str, Plan]) -> Path | None:
    """The folder of the tokenizer that a run takes over from what it starts from: one of the same settings that has
    learned from another corpus. None: it has one of its own."""
    named = next((text for role in STARTS if (text := config.parents.get(role))), None)
    if not named or config.data.retrain_tokenizer or not config.tokenizer.needs_training():
        return None
    try:
        run = named_run(split(named)[0], config.runs, planned)
    except UserError:  # told when parents are resolved
        return None
    if run.config.tokenizer.fingerprint() != config.tokenizer.fingerprint():
        return None
    if run.inherited is None and run.data == fingerprint(config):
        return None
    return run.inherited or (tokenizer_folder(run.config) if run.planned else run.dir.path / "tokenizer")


def split(text: str) -> tuple[str, str | None]:
    """``<run>@<step>`` as run and step; None where no step is given."""
    name, at, step = text.rpartition("@")
    return (name, step) if at and re.fullmatch(r"\d+|0?\.\d+", step) else (text, None)


# ------------------------------------------------------------------------------------------- runs


def named_run(name: str, runs: str, planned: Mapping[str, Plan]) -> _Run:
    """Of those that are planned, or there. Raises UserError where there is none of that name."""
    plan = planned.get(name)
    if plan is not None:
        run = RunDir(Path(plan.config.runs) / plan.id)
        waits = plan.config.retrain or run.state() != "finished"
        data, tokens = plan.identity["data"], _own_tokens(plan, planned)
        return _Run(run, plan.config, plan.vocabulary, plan.steps, data, waits, plan.inherited, tokens)
    run = open_run(name, runs)
    config, manifest = stored_config(run), run.manifest()
    if "budget" not in manifest:
        raise UserError(f"run {run.id} has never been started.")
    data = manifest["identity"].get("data", "")  # an imported run has seen none
    inherited = run.path / "tokenizer" if "tokenizer" in manifest["identity"] else None
    vocabulary, steps, tokens = manifest["model"]["vocabulary"], manifest["budget"]["steps"], tuple(own_tokens(run))
    return _Run(run, config, vocabulary, steps, data, False, inherited, tokens)


def _own_tokens(plan: Plan, planned: Mapping[str, Plan]) -> tuple[str, ...]:
    """The names of those of its method; of a run that only quantizes, of that which it quantizes."""
    if plan.config.method:
        return plan.config.extra_tokens
    text = plan.config.parents["init"]
    assert text
    return named_run(split(text)[0], plan.config.runs, planned).tokens


def _step(run: _Run, wanted: str | None) -> int:
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


def _check_will_be_there(run: _Run, step: int) -> None:
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
            f"run {run.dir.id} will keep only its last trainer.keep={trainer.keep} checkpoints, and that of step "
            f"{step} is the {needed}th from the end. Say trainer.keep={needed}."
        )


def checkpoint_steps(steps: int, checkpoints: int) -> list[int]:
    """The steps at which a run writes checkpoints."""
    return sorted({-(-k * steps // checkpoints) for k in range(1, checkpoints + 1)})


def _check_continue(
    config: RunConfig, data: str, vocabulary: int, steps: int, run: _Run, step: int, inherits: bool
) -> None:
    if step == 0:
        raise ConfigError("a quantized or an imported run has weights only, no optimizer's state. Say parents.init.")
    if run.config.adapter:
        raise ConfigError(
            f"it trained adapter={run.config.adapter.name} and has no state of a whole model. Say parents.init, which "
            "takes the model with the adapter merged."
        )
    if run.config.data.curriculum != CurriculumConfig():
        raise ConfigError("it has a curriculum, whose stages are shares of its own steps. Say parents.init.")
    ours, theirs = config.with_seeds(), run.config.with_seeds()
    differs = {
        f"{part}.{key}": pair
        for part in HELD
        for key, pair in flat_difference(getattr(ours, part), getattr(theirs, part)).items()
    }
    differs |= {key: pair for key in HELD_DATA if (pair := (_at(ours, key), _at(theirs, key))) and pair[0] != pair[1]}
    tokens = [", ".join(one.extra_tokens) or None for one in (ours, theirs)]
    if not differs and tokens[0] != tokens[1]:
        differs["the objective's set of own tokens"] = (tokens[0], tokens[1])
    if not differs and vocabulary != run.vocabulary:
        differs["vocabulary"] = (vocabulary, run.vocabulary)
    for key, (here, there) in differs.items():
        raise ConfigError(
            f"{key} is {_said(here)} here and {_said(there)} there, but a continued run goes on with the same model, "
            "optimizer, batch and seeds. The schedule, the budget and the corpus may be others; for anything else say "
            "parents.init."
        )
    if data != run.data and not inherits and not _same_tokenizer(ours, run):
        raise ConfigError(
            "this corpus gives another tokenizer than the parent's. Give both runs one that is not trained on the "
            "corpus: tokenizer=bytes, or tokenizer=huggingface with tokenizer.folder=<folder>."
        )
    if step >= steps:
        raise ConfigError(
            f"the parent is at step {step}, and this run's budget ends at step {steps}. The budget counts from the "
            "beginning, the parent's steps included: give it more."
        )


def _check_teaches(config: RunConfig, run: _Run) -> None:
    """Whether it was trained for what is asked of it."""
    theirs = run.config.method
    if theirs and theirs.likelihood != config.method.likelihood:
        raise ConfigError(
            f"{config.method.name} asks a teacher what follows a text, and {theirs.name} has not trained it for that: "
            f"its likelihood is {theirs.likelihood or 'none'}, and not {config.method.likelihood}."
        )


def teachers(config: RunConfig, planned: Mapping[str, Plan]) -> list[tuple[Any, int]]:
    """Architecture and vocabulary of each parent that reads all rows of the run. One that is not there is told when
    parents are resolved."""
    named = [config.parents.get(role) for role in (config.method.taught_by if config.method else ())]
    found = []
    for text in filter(None, named):
        with contextlib.suppress(UserError):
            if is_transformers(Path(text)):
                from harness.models.huggingface.folder import open_folder

                architecture = open_folder(Path(text)).architecture()
                found.append((architecture, architecture.vocabulary))
            else:
                run = named_run(split(text)[0], config.runs, planned)
                found.append((run.config.architecture, run.vocabulary))
    return found


def _said(value: Any) -> str:
    return "not set" if value is None else str(value)


def _at(config: Any, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


def _same_tokenizer(config: RunConfig, run: _Run, inherited: Path | None = None) -> bool:
    """Of two runs whose data differ. inherited: the folder of the tokenizer that the first takes over."""
    if config.tokenizer.fingerprint() != run.config.tokenizer.fingerprint():
        return False
    if not config.tokenizer.needs_training():
        return True
    theirs = run.inherited or tokenizer_folder(run.config) if run.planned else run.dir.path / "tokenizer"
    return bool(read_json((inherited or tokenizer_folder(config)) / CHECKSUMS) == read_json(theirs / CHECKSUMS))


# --------------------------------------------------------------------------------------- folders


def is_transformers(folder: Path) -> bool:
    """Whether it is a folder of transformers, and no run."""
    return (folder / "config.json").is_file() and not (folder / "manifest.json").is_file()


def _of_folder(role: str, path: Path, config: RunConfig, vocabulary: int) -> Parent:
    from harness.models.huggingface.folder import open_folder

    folder = open_folder(path)
    architecture, tokenizer = folder.architecture(), folder.tokenizer()
    if role == "init":
        check_init(config, vocabulary, architecture, architecture.vocabulary)
    if tokenizer is None and architecture.vocabulary != vocabulary:
        raise ConfigError(
            f"the folder has {architecture.vocabulary} tokens and no tokenizer.json that says which, and this run has "
            f"{vocabulary}."
        )
    same = tokenizer is None or tokenizer.fingerprint() == config.tokenizer.fingerprint()
    if role == "init":
        check_beside(config, vocabulary, architecture.vocabulary, same, ())
    if leans := leans_on(config, role):
        check_leaned_on(leans, config, vocabulary, architecture, architecture.vocabulary, same)
    return Parent(path, None, folder.fingerprint())
