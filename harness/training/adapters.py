"""Runs that train an adapter: their checkpoints hold its tensors alone, and say which model it stands beside."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.data.cache import digest
from harness.errors import UserError
from harness.files import CHECKSUMS, is_whole, read_json
from harness.interfaces.adapter import AdapterConfig
from harness.models.groups import train_only
from harness.rundir import RunDir
from harness.training.checkpoints import BASE, MODEL, load_weights, names_in
from harness.training.job import Parent, TrainingJob
from harness.training.noise import keyed
from harness.training.parents import read

if TYPE_CHECKING:
    from harness.models.model import Model


@dataclass(frozen=True)
class Beside:
    """names: of the parameters that are trained and saved. base: the model beside them, as base.json has it."""

    names: Collection[str]
    base: Mapping[str, Any]


def add(job: TrainingJob, model: Model, anew: Collection[str]) -> Beside:
    """Adds the run's adapter to the model of its `init`, and takes all else out of training but what that has not (a
    new head). Its numbers are drawn from the seed of initialisation, others than the model's own."""
    parent = job.parents["init"]
    torch.manual_seed(keyed(job.seeds[0]))
    own = job.config.adapter.adapt(model)
    names = [*own, *(name for name, _ in model.named_parameters() if name in anew)]
    train_only(model, names)
    said = {"identity": parent.identity, "path": str(parent.path.resolve()), "step": parent.step}
    return Beside(names, {**said, "content": _content(parent)})


def check_base(folder: Path, beside: Beside) -> None:
    """Raises UserError where the checkpoint of an adapter was trained beside another model."""
    base = beside.base
    if read_json(folder / BASE)["content"] != base["content"]:
        raise UserError(f"{folder} cannot be gone on from. {_other(base['identity'], Path(base['path']))}")


def load_beside(model: Model, adapter: AdapterConfig, run: RunDir, folder: Path, merge: bool) -> None:
    """Fills a model with that which the adapter of a checkpoint stands beside, and adds or merges the adapter.

    Raises UserError where what it stands beside is gone, damaged or another one by now.
    """
    said = read_json(folder / BASE)
    path = Path(said["path"])
    if said["step"] is not None and (run.path.parent / path.name).is_dir():  # runs are moved together
        path = run.path.parent / path.name
    parent = Parent(path, said["step"], said["identity"])
    try:
        content = _content(parent)
        weights = read(parent)[1]
    except UserError as error:
        raise UserError(
            f"Run {run.id} is an adapter beside {parent.identity}, which cannot be read. Bring {path} back. {error}"
        ) from None
    if content != said["content"]:
        raise UserError(f"Run {run.id} cannot be put together. {_other(parent.identity, path)}")
    there = model.state_dict()
    model.load_state_dict({name: tensor for name, tensor in weights.items() if name in there}, strict=False)
    adapter.adapt(model)
    load_weights(folder, {name: model.get_parameter(name) for name in names_in(folder)})
    if merge:
        adapter.merge(model)


def _content(parent: Parent) -> str:
    """A hash of the weights."""
    if parent.step is None:
        from harness.models.huggingface.folder import open_folder

        return open_folder(parent.path).fingerprint()
    folder = RunDir(parent.path).checkpoint(parent.step)
    if not is_whole(folder):
        raise UserError(f"{folder} is gone or damaged.")
    return digest({file: known for file, known in read_json(folder / CHECKSUMS).items() if file.startswith(MODEL)})


def _other(identity: str, path: Path) -> str:
    return (
        f"It is an adapter beside {identity}, and what {path} holds by now has other weights: it was trained anew, or "
        "replaced. Bring the old ones back, or train the adapter again with retrain=true."
    )
