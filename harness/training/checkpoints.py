"""Checkpoints: a folder of safetensors and JSON, written beside and renamed; nothing is pickled.

::

    step-00000120/
      model.safetensors       weights by name; of tied ones the first, the others named in its metadata
      base.json               where these are an adapter's alone: the model that it stands beside
      optimizer.safetensors   optimizer state as ``<parameter>.<field>``
      optimizer.json          groups with the names of their parameters, and state that is no tensor
      trainer.json            Lightning's counters and the state of callbacks
      checksums.json

Where several processes share a model, each writes what it holds (`harness.training.parts`), and any number reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from harness.errors import RunFailed
from harness.files import read_json, write_json
from harness.rundir import RunDir
from harness.training.parts import Saved, Tensors, part_of, untied, write_parts
from harness.training.world import World

MODEL, OPTIMIZER, OPTIONS, TRAINER, BASE = "model", "optimizer", "optimizer.json", "trainer.json", "base.json"


class Storage:
    """Writes and reads the checkpoints of one run, on every rank that trains it."""

    def __init__(self, run: RunDir, world: World) -> None:
        self.run, self.world = run, world

    def save(self, final: Path, loop: Any, rest: Mapping[str, Any]) -> None:
        """rest: what stands in trainer.json. Every rank returns when the checkpoint is in its place."""
        folder = Path(self.world.gather(str(self.run.stage(final.name)) if self.world.leads else "")[0])
        tensors, options = optimizer_state(loop.optimizer, loop.parameter_names())
        sums = write_parts(folder, MODEL, loop.weights(), self.world)
        sums |= write_parts(folder, OPTIMIZER, tensors, self.world)
        if self.world.leads:
            write_json(folder / OPTIONS, options)
            write_json(folder / TRAINER, dict(rest))
            if loop.beside:
                write_json(folder / BASE, dict(loop.beside.base))
            if loop.converted:
                loop.converted(folder)
            self.run.publish(folder, final, sums)
        self.world.barrier()

    def load(self, folder: Path, loop: Any) -> None:
        """Fills the model and its optimizer, of each tensor the part that this rank holds."""
        load_weights(folder, loop.weights())
        load_optimizer(folder, loop.optimizer, loop.parameter_names())


def write_weights(folder: Path, weights: Tensors) -> None:
    """A checkpoint's weights alone. Tensors that share their memory are written once."""
    write_parts(folder, MODEL, weights, World())


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint, whole, tied names included."""
    with Saved(folder, MODEL) as saved:
        weights = {name: saved.read(name) for name in saved.shapes()}
        return weights | {name: weights[owner] for name, owner in saved.tied.items()}


def names_in(folder: Path) -> list[str]:
    """The names of a checkpoint's weights, tied ones left out."""
    with Saved(folder, MODEL) as saved:
        return list(saved.shapes())


@torch.no_grad()
def load_weights(folder: Path, weights: Tensors) -> None:
    """Fills weights in place, by name, however they are spread over processes."""
    weights, _ = untied(weights)
    with Saved(folder, MODEL) as saved:
        for name, tensor in weights.items():
            if not isinstance(tensor, DTensor) and tensor.shape != saved.shapes()[name]:
                tensor.resize_(saved.shapes()[name])  # counts have the size of what was seen
            part, offset = part_of(tensor)
            if part.numel():
                part.copy_(saved.read(name, offset, tuple(part.shape)))


def optimizer_state(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> tuple[Tensors, dict[str, Any]]:
    """Its tensors as ``<parameter>.<field>``, and the rest: groups with the names of their parameters, numbers."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for parameter, state in optimizer.state.items():
        name = names[id(parameter)]
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{name}.{key}"] = value
            else:
                numbers.setdefault(name, {})[key] = value
    groups = [{**group, "params": [names[id(p)] for p in group["params"]]} for group in optimizer.param_groups]
    return tensors, {"groups": groups, "numbers": numbers}


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> None:
    """Fills an optimizer that has not stepped yet. A tensor of its parameter's shape is spread as the parameter is.

    Groups may be cut differently than they were, by other meshes: each takes the options of the group that its first
    parameter was in.
    """
    options = read_json(folder / OPTIONS)
    groups_of = {name: group for group in options["groups"] for name in group["params"]}
    fresh = optimizer.state_dict()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    with Saved(folder, OPTIMIZER) as saved:
        fields: dict[str, list[str]] = {}
        for place in saved.shapes():
            name, _, field = place.rpartition(".")
            fields.setdefault(name, []).append(field)
        for index, parameter in enumerate(parameters):
            name = names[id(parameter)]
            read = {field: _state_like(parameter, saved, f"{name}.{field}") for field in fields.get(name, ())}
            state[index] = {**options["numbers"].get(name, {}), **read}
    for group, now in zip(fresh["param_groups"], optimizer.param_groups, strict=True):
        before = groups_of[names[id(now["params"][0])]]
        group.update({key: value for key, value in before.items() if key != "params"})
    optimizer.load_state_dict({"state": {k: v for k, v in state.items() if v}, "param_groups": fresh["param_groups"]})


def _state_like(parameter: torch.Tensor, saved: Saved, place: str) -> torch.Tensor:
    if not isinstance(parameter, DTensor) or saved.shapes()[place] != tuple(parameter.shape):
        return saved.read(place)
    part, offset = part_of(parameter)
    local = saved.read(place, offset, tuple(part.shape)) if part.numel() else torch.empty_like(part, device="cpu")
    return DTensor.from_local(
        local.to(part.device), parameter.device_mesh, parameter.placements, run_check=False,
        shape=parameter.shape, stride=parameter.stride(),
    )  # fmt: skip


def due(step: int, steps: int, checkpoints: int) -> bool:
    """Whether a checkpoint stands after so many steps: `checkpoints` of them, evenly spaced, the last at the end."""
    return step * checkpoints // steps > (step - 1) * checkpoints // steps


def forget_after(run: RunDir, step: int) -> None:
    """Removes (damaged) checkpoints of steps that will be done again."""
    for of_step, folder in run.checkpoints():
        if of_step > step:
            run.remove(folder)


def forget_oldest(run: RunDir, steps: int, checkpoints: int, keep: int) -> None:
    """Keeps the newest `keep` of those that are due, and the newest of all: one that an interruption has left between
    them takes no place of theirs, which a branch may have been promised."""
    there = run.checkpoints()
    planned = [step for step, _ in there if due(step, steps, checkpoints)]
    kept = {*planned[-keep:], there[-1][0]}
    for step, folder in there:
        if step not in kept:
            run.remove(folder)


def not_finite(run: RunDir, step: int) -> RunFailed:
    """The end of a run whose loss or gradient at some step is not finite, naming the last good checkpoint."""
    last = run.last_whole_checkpoint()
    good = f"The last good checkpoint is {last[1]}." if last else "There is no checkpoint before it."
    return RunFailed(
        f"Run {run.id}: the loss or its gradient is not finite at step {step}. {good} "
        "A lower optimizer.lr, a longer schedule.warmup or a smaller trainer.gradient_clip may help."
    )
