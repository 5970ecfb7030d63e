"""Checkpoints: a folder of safetensors and JSON, written beside and renamed; nothing is pickled.

::

    step-00000120/
      model.safetensors       weights by name; of tied ones the first, the others named in its metadata
      optimizer.safetensors   optimizer state as ``<parameter>.<field>``
      optimizer.json          groups with the names of their parameters, and state that is no tensor
      trainer.json            Lightning's counters and the state of callbacks
      checksums.json
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from harness.errors import RunFailed
from harness.rundir import RunDir, new_folder, read_json, write_json

WEIGHTS, OPTIMIZER, OPTIONS, TRAINER = "model.safetensors", "optimizer.safetensors", "optimizer.json", "trainer.json"

Tensors = dict[str, torch.Tensor]


def write_weights(path: Path, weights: Tensors) -> None:
    """Tensors that share their storage are written once, under the first of their names."""
    first: dict[Any, str] = {}
    tied: dict[str, str] = {}
    for name, tensor in weights.items():
        owner = first.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.device, tensor.dtype), name)
        if owner != name and tensor.numel():
            tied[name] = owner
    kept = {name: tensor.contiguous() for name, tensor in weights.items() if name not in tied}
    save_file(kept, path, metadata={"tied": json.dumps(tied)})  # one entry: the library writes several in any order


def read_weights(path: Path) -> Tensors:
    """What `write_weights` was given, tied names included."""
    with safe_open(path, framework="pt") as file:
        tied = json.loads((file.metadata() or {}).get("tied", "{}"))
    weights = load_file(path)
    return weights | {name: weights[owner] for name, owner in tied.items()}


class FolderCheckpoints(CheckpointIO):
    """Lightning's checkpoints as folders. names: the trained parameters in the optimizer's order, which is how
    PyTorch numbers them; files speak of names only."""

    PREFIX = "model."  # the model's name in the LightningModule

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        rest = dict(checkpoint)
        weights = {name.removeprefix(self.PREFIX): tensor for name, tensor in rest.pop("state_dict").items()}
        (optimizer,) = rest.pop("optimizer_states")
        with new_folder(Path(path)) as folder:
            write_weights(folder / WEIGHTS, weights)
            self._write_optimizer(folder, optimizer)
            write_json(folder / TRAINER, rest)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> dict[str, Any]:
        folder = Path(path)
        weights = {self.PREFIX + name: tensor for name, tensor in read_weights(folder / WEIGHTS).items()}
        rest: dict[str, Any] = read_json(folder / TRAINER)
        return {**rest, "state_dict": weights, "optimizer_states": [self._read_optimizer(folder)]}

    def remove_checkpoint(self, path: Any) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def _write_optimizer(self, folder: Path, optimizer: dict[str, Any]) -> None:
        tensors: Tensors = {}
        numbers: dict[str, dict[str, Any]] = {}
        for index, state in optimizer["state"].items():
            name = self.names[index]
            for key, value in state.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"{name}.{key}"] = value.contiguous()
                else:
                    numbers.setdefault(name, {})[key] = value
        groups = [{**g, "params": [self.names[index] for index in g["params"]]} for g in optimizer["param_groups"]]
        save_file(tensors, folder / OPTIMIZER)
        write_json(folder / OPTIONS, {"groups": groups, "numbers": numbers})

    def _read_optimizer(self, folder: Path) -> dict[str, Any]:
        index = {name: k for k, name in enumerate(self.names)}
        options = read_json(folder / OPTIONS)
        state: dict[int, dict[str, Any]] = {index[name]: dict(values) for name, values in options["numbers"].items()}
        for place, tensor in load_file(folder / OPTIMIZER).items():
            name, _, key = place.rpartition(".")
            state.setdefault(index[name], {})[key] = tensor
        groups = [{**group, "params": [index[name] for name in group["params"]]} for group in options["groups"]]
        return {"state": state, "param_groups": groups}


def due(step: int, steps: int, checkpoints: int) -> bool:
    """Whether a checkpoint stands after so many steps: `checkpoints` of them, evenly spaced, the last at the end."""
    return step * checkpoints // steps > (step - 1) * checkpoints // steps


def forget_after(run: RunDir, step: int) -> None:
    """Removes what a crash left: unfinished folders, and (damaged) checkpoints of steps that will be done again."""
    for beside in (run.path / "checkpoints").glob(".step-*"):
        shutil.rmtree(beside, ignore_errors=True)
    for of_step, folder in run.checkpoints():
        if of_step > step:
            shutil.rmtree(folder, ignore_errors=True)


def forget_oldest(run: RunDir, keep: int) -> None:
    for _, folder in run.checkpoints()[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def not_finite(run: RunDir, step: int) -> RunFailed:
    """The end of a run whose loss or gradient at some step is not finite, naming the last good checkpoint."""
    last = run.last_whole_checkpoint()
    good = f"The last good checkpoint is {last[1]}." if last else "There is no checkpoint before it."
    return RunFailed(
        f"Run {run.id}: the loss or its gradient is not finite at step {step}. {good} "
        "A lower optimizer.lr, a longer schedule.warmup or a smaller trainer.gradient_clip may help."
    )
