"""What a run starts from: the runs and folders that `parents` names, and whether this run can start from them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import ConfigError
from harness.data.dataset import fingerprint, tokenizer_folder
from harness.errors import UserError
from harness.planning.continued import check_continue
from harness.planning.fitting import check_beside, check_init, check_leaned_on, leans_on
from harness.planning.named import Named, checkpoint_of, named_run, same_tokenizer, split
from harness.schema import STARTS, RunConfig
from harness.training.job import Parent

if TYPE_CHECKING:
    from harness.planning.plan import Plan


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
    step = checkpoint_of(run, wanted)
    if role == "continue":
        check_continue(config, data, vocabulary, steps, run, step, inherited is not None)
    elif role == "init":
        check_init(config, vocabulary, run.config.architecture, run.vocabulary)
        if config.adapter:  # otherwise its tokenizer may be another, and need not be made to see whether it is
            same = data == run.data or inherited is not None or same_tokenizer(config, run)
            check_beside(config, vocabulary, run.vocabulary, same, run.tokens)
    if leans := leans_on(config, role):
        same = data == run.data or same_tokenizer(config, run, inherited)
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


def _check_teaches(config: RunConfig, run: Named) -> None:
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
