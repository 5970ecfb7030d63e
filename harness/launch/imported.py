"""A model of somebody else's as a run of ours: finished at step 0, to be scored, continued and exported."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import __version__
from harness.config import to_mapping
from harness.errors import UserError
from harness.files import new_folder
from harness.identity import RESULTS_VERSION, code, run_id
from harness.interfaces.tokenizer import extra_tokens, vocabulary_with
from harness.models.huggingface.folder import Folder
from harness.rundir import RunDir
from harness.schema import RunConfig


def as_config(
    folder: Folder, config: RunConfig, own_length: bool, own_tokenizer: bool, own_objective: bool = False
) -> RunConfig:
    """The run's config: the folder's model, and what else a person has chosen. own_length, own_tokenizer,
    own_objective: whether data.sequence_length, the tokenizer and the objective that it was trained by are a person's
    choice, too, and not the folder's.

    Raises UserError where the folder has no tokenizer, or one with more tokens than the model, and for an objective
    that trains no such model.
    """
    architecture = folder.architecture()
    tokenizer = config.tokenizer if own_tokenizer else folder.tokenizer()
    if tokenizer is None:
        raise UserError(
            f"{folder.path} has no tokenizer.json. Name a folder that has, by tokenizer=huggingface "
            "tokenizer.folder=<folder>; transformers writes one by AutoTokenizer.from_pretrained(…).save_pretrained(…)."
        )
    if tokenizer.needs_training():
        raise UserError(f"tokenizer={tokenizer.name} learns from a corpus; the model in {folder.path} knows another.")
    method = config.method if own_objective else folder.method()
    if architecture.topology() not in method.topologies:
        raise UserError(
            f"The model in {folder.path} is not one that objective={method.name} trains. Leave the objective out, "
            f"which makes it {folder.method().name}."
        )
    extra = extra_tokens(tokenizer, tokenizer.vocabulary(), method.extra_tokens())
    known = vocabulary_with(tokenizer.vocabulary(), extra)
    if known > architecture.vocabulary:
        of_method = f", those of {method.name} included" if extra else ""
        raise UserError(
            f"The tokenizer has {known} tokens{of_method}, the model in {folder.path} {architecture.vocabulary}. "
            "Name the one that the model was trained with, by tokenizer=huggingface tokenizer.folder=<folder>."
        )
    length = None if own_length else folder.sequence_length()
    data = replace(config.data, sequence_length=length or config.data.sequence_length)
    return replace(config, architecture=architecture, method=method, tokenizer=tokenizer, data=data)


def identity_of(folder: Folder, config: RunConfig) -> dict[str, Any]:
    """What determines the scores of the run."""
    objective = {} if config.method == folder.method() else {"objective": to_mapping(config.method)}
    return objective | {
        "results_version": RESULTS_VERSION,
        "imported": folder.identity(),
        "tokenizer": config.tokenizer.fingerprint(),
        "sequence_length": config.data.sequence_length,
    }


def import_folder(folder: Folder, config: RunConfig) -> tuple[RunDir, bool]:
    """The run, and whether it is new: the same content has the same id, wherever the folder lies.

    config: as `as_config` makes it. Raises UserError where the weights cannot be read, or a damaged run of that id is
    there; nothing is left behind then.
    """
    from harness.models.counting import account
    from harness.training.checkpoints import write_weights

    determined = identity_of(folder, config)
    run = RunDir(Path(config.runs) / run_id(determined))
    if run.exists():
        if run.last_whole_checkpoint() is None:
            raise UserError(f"{run.path} holds this model already, but damaged. Remove it and import again.")
        return run, False
    weights = folder.weights()
    counted = account(config.architecture, config.architecture.vocabulary, config.data.sequence_length)
    with new_folder(run.path) as beside:
        made = RunDir(beside)
        made.write_json("config.json", to_mapping(config))
        with new_folder(beside / "tokenizer") as inside:
            config.tokenizer.train(()).save(inside)
        with new_folder(made.checkpoint(0)) as inside:
            write_weights(inside, weights)
        made.update_manifest(
            id=run.id,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            state="finished",
            harness=__version__,
            identity=determined,
            code=code(config),
            model={
                "parameters": counted.total,
                "non_embedding": counted.non_embedding,
                "active": counted.active,
                "flops_per_token": counted.training_flops,
                "vocabulary": config.architecture.vocabulary,
            },
            budget={"steps": 0},
            result={},
            imported={"folder": str(folder.path.resolve()), "model_type": folder.theirs["model_type"]},
        )
    return run, True
