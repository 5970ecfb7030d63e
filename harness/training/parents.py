"""What a run starts from: the weights of its `init`, the checkpoint of its `continue`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import UserError
from harness.files import is_whole
from harness.identity import flat_difference
from harness.interfaces.method import Setting
from harness.interfaces.tokenizer import extra_tokens, vocabulary_with
from harness.models.vocabulary import grown, named, origins, same_tokens, tables, transferred
from harness.rundir import RunDir
from harness.stored import own_tokens
from harness.training.device import device_of
from harness.training.job import Parent, TrainingJob
from harness.training.reference import reference

if TYPE_CHECKING:
    from harness.models.model import Model

log = logging.getLogger(__name__)

#: How the names of heads' tensors begin.
HEADS = "heads."


def checkpoint(job: TrainingJob) -> tuple[int, Path] | None:
    """The step and the folder that a run continues; None: it begins at the beginning. Raises UserError where the
    checkpoint is no longer whole."""
    parent = job.parents.get("continue")
    if parent is None:
        return None
    assert parent.step is not None
    folder = RunDir(parent.path).checkpoint(parent.step)
    if not is_whole(folder):
        raise UserError(f"{folder}, which this run continues, is gone or damaged. Train {parent.path.name} again.")
    _say_what_was_seen(job, parent)
    return parent.step, folder


@torch.no_grad()
def start_from(job: TrainingJob, model: Model) -> list[str]:
    """Fills a freshly initialised model on the CPU with the weights of the run's `init`, if it has one. Under another
    tokenizer the rows of its tokens are transferred. A head that the parent has not stays as it is, or shares the
    body's table; one that the model has not is dropped. Returns the names of what stays as it is.

    Raises UserError where the weights are gone or damaged.
    """
    parent = job.parents.get("init")
    if parent is None:
        return list(model.state_dict())
    architecture, weights, old = read(parent)
    _say_what_was_seen(job, parent)
    differs = flat_difference(job.config.architecture, architecture)
    differs.pop("vocabulary", None)
    _say_which_heads(parent, differs, job.config.architecture.heads(), architecture.heads())
    for key, (ours, theirs) in differs.items():
        log.warning("architecture.%s=%s, and %s in %s, whose weights are taken.", key, ours, theirs, parent.identity)
    fresh, new = model.state_dict(), job.dataset.tokenizer
    weights = {name: tensor for name, tensor in weights.items() if name in fresh or not name.startswith(HEADS)}
    names = tables(model, job.vocabulary) & weights.keys()
    own, before = _own_tokens(job), dict(weights)
    if old is None or same_tokens(old, new):
        weights |= {name: grown(weights[name], fresh[name]) for name in names}
    else:
        of = origins(new, old)
        weights |= {name: transferred(weights[name], fresh[name], of) for name in names}
    behind = {name: token for name, token in own.items() if token >= new.size}
    of_parent = _tokens_of(parent)
    weights |= {name: named(weights[name], before[name], fresh[name], behind, of_parent) for name in names}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.startswith(HEADS) for name in missing)
    return missing


def _own_tokens(job: TrainingJob) -> dict[str, int]:
    """The numbers of the method's own tokens."""
    return extra_tokens(job.config.tokenizer, job.dataset.tokenizer.size, job.config.extra_tokens)


def _tokens_of(parent: Parent) -> dict[str, int]:
    """Those of a parent's method. A folder has no other tokens than its tokenizer's."""
    return own_tokens(RunDir(parent.path)) if parent.step is not None else {}


def _say_which_heads(parent: Parent, differs: dict[str, Any], ours: frozenset[str], theirs: frozenset[str]) -> None:
    """And takes what follows from it out of what else differs."""
    if ours == theirs:
        return
    for key in [key for key in differs if key.startswith("head.")]:
        del differs[key]
    log.warning(
        "The body's weights are those of %s; its head (%s) is left out, and this run's (%s) begins anew.",
        parent.identity, ", ".join(sorted(theirs - ours)) or "none", ", ".join(sorted(ours - theirs)) or "none",
    )  # fmt: skip


def setting(job: TrainingJob, told: Callable[[int, int], None] = lambda done, total: None) -> Setting:
    """What the method is built in. told: as `harness.training.reference` calls it."""
    data = job.config.data
    return Setting(
        tokenizer=job.dataset.tokenizer,
        extra=_own_tokens(job),
        template=data.template,
        attend_across_documents=data.attend_across_documents,
        sequence_length=data.sequence_length,
        frozen=lambda role: _frozen(job, role),
        log_probabilities=lambda role: reference(job, job.parents[role], lambda: _frozen(job, role), told),
        examples=job.dataset.examples,
        topology=job.config.architecture.topology(),
    )


def _frozen(job: TrainingJob, role: str) -> Model:
    """A parent's model, on the training device, for the forward pass alone."""
    parent = job.parents[role]
    architecture, weights, tokenizer = read(parent)
    # With its method's own tokens, or with padding, its table may have other rows than that of whoever leans on it.
    model: Model = architecture.build(architecture.vocabulary or vocabulary_with(tokenizer.size, _tokens_of(parent)))
    model.load_state_dict(weights)
    if job.config.trainer.precision == "bf16-true":  # as the policy is computed in
        model.bfloat16()
    return model.to(device_of(job.config.trainer)).eval().requires_grad_(False)


def _say_what_was_seen(job: TrainingJob, parent: Parent) -> None:
    """Held out is what the hash of its text says, up to a share: of a larger share some was not held out before."""
    if parent.step:
        before, now = RunDir(parent.path).config()["data"]["held_out"], job.config.data.held_out
        if before < now:
            log.warning(
                "%s held out data.held_out=%s of its documents and this run %s: it may have been trained on some that "
                "are held out now.", parent.identity, before, now,
            )  # fmt: skip


def read(parent: Parent) -> tuple[Any, dict[str, torch.Tensor], Any]:
    """The architecture's Config, the weights, and the tokenizer (None: there is none)."""
    if parent.step is None:
        from harness.models.huggingface.folder import open_folder

        folder = open_folder(parent.path)
        tokenizer = folder.tokenizer()
        return folder.architecture(), folder.weights(), tokenizer and tokenizer.train(())
    from harness.training.train import load_model

    model, config, tokenizer = load_model(RunDir(parent.path), parent.step)
    if config.quantizer:
        config.quantizer.dequantize(model)
    return config.architecture, dict(model.state_dict()), tokenizer
