"""Tensors in safetensors files, each process's part of them in its own: written once, read into any other division.

::

    model.safetensors                                          whole tensors, where one process holds them all
    model-00001-of-00002.safetensors … , model.index.json      parts, and which part of which tensor lies where
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from harness.files import checksum, read_json, write_json
from harness.training.world import World

Tensors = Mapping[str, torch.Tensor]
#: Where a part begins, in each dimension of the whole tensor.
Offset = tuple[int, ...]


def part_of(tensor: torch.Tensor) -> tuple[torch.Tensor, Offset]:
    """What this process holds of a tensor: the memory itself, and where in the whole it begins."""
    if not isinstance(tensor, DTensor):
        return tensor, (0,) * tensor.ndim
    local = tensor.to_local()
    shape, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    assert tuple(shape) == tuple(local.shape)
    return local, tuple(offset) if local.numel() else (0,) * tensor.ndim


def untied(weights: Tensors) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Each tensor once, under the first of its names, and the other names with the first."""
    first: dict[Any, str] = {}
    tied: dict[str, str] = {}
    for name, tensor in weights.items():
        spread = isinstance(tensor, DTensor) or not tensor.numel()
        memory = id(tensor) if spread else (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        owner = first.setdefault(memory, name)
        if owner != name:
            tied[name] = owner
    return {name: tensor for name, tensor in weights.items() if name not in tied}, tied


def write_parts(folder: Path, stem: str, tensors: Tensors, world: World) -> dict[str, str]:
    """Every rank writes its part into the folder; of what several hold, the first rank. Tensors that share their
    memory are written once. Returns the checksums of all files of tensors, on every rank."""
    tensors, tied = untied(tensors)
    held = {name: part_of(tensor) for name, tensor in tensors.items()}
    pieces = {
        (name, offset, tuple(part.shape)): part for name, (part, offset) in held.items() if _counts(part, name, tensors)
    }
    owners: dict[tuple[str, Offset, tuple[int, ...]], int] = {}
    for rank, theirs in enumerate(world.gather(list(pieces))):
        for piece in theirs:
            owners.setdefault(piece, rank)
    split = any(owners.values())
    files = [f"{stem}-{rank + 1:05d}-of-{world.size:05d}.safetensors" for rank in range(world.size)]
    files = files if split else [f"{stem}.safetensors"] * world.size
    mine = {piece[0]: part.detach().contiguous() for piece, part in pieces.items() if owners[piece] == world.rank}
    sums = {}
    if mine or world.leads:
        note = {} if split else {"tied": json.dumps(tied)}  # one entry: the library writes several in any order
        save_file(mine, folder / files[world.rank], metadata=note or None)
        sums[files[world.rank]] = checksum(folder / files[world.rank])
    if split and world.leads:
        parts: dict[str, Any] = {name: {"shape": list(tensor.shape), "parts": []} for name, tensor in tensors.items()}
        for (name, offset, shape), rank in owners.items():
            parts[name]["parts"].append({"file": files[rank], "offset": offset, "shape": shape})
        write_json(folder / f"{stem}.index.json", {"tensors": parts, "tied": tied})
    return {name: digest for of_rank in world.gather(sums) for name, digest in of_rank.items()}


def _counts(part: torch.Tensor, name: str, tensors: Tensors) -> bool:
    """A rank that holds nothing of a tensor has nothing to write, unless the tensor itself is empty."""
    return bool(part.numel()) or not tensors[name].numel()


class Saved(ExitStack):
    """What `write_parts` wrote, however many wrote it. To be used in a ``with`` block."""

    def __init__(self, folder: Path, stem: str) -> None:
        super().__init__()
        self.folder = folder
        self._files: dict[str, Any] = {}
        index = folder / f"{stem}.index.json"
        if index.exists():
            found = read_json(index)
            self._tensors, self.tied = found["tensors"], dict(found["tied"])
        else:
            whole = self._open(f"{stem}.safetensors")
            shapes = {name: list(whole.get_slice(name).get_shape()) for name in whole.keys()}  # noqa: SIM118
            self._tensors = {
                name: {
                    "shape": shape,
                    "parts": [{"file": f"{stem}.safetensors", "offset": [0] * len(shape), "shape": shape}],
                }
                for name, shape in shapes.items()
            }
            self.tied = json.loads((whole.metadata() or {}).get("tied", "{}"))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of each whole tensor, tied names left out."""
        return {name: tuple(entry["shape"]) for name, entry in self._tensors.items()}

    def read(self, name: str, offset: Offset | None = None, shape: tuple[int, ...] | None = None) -> torch.Tensor:
        """A box of a tensor, on the CPU; without offset and shape all of it."""
        entry = self._tensors[self.tied.get(name, name)]
        shape = tuple(entry["shape"]) if shape is None else tuple(shape)
        offset = (0,) * len(shape) if offset is None else offset
        for part in entry["parts"]:  # most often the box is one part of one file
            if tuple(part["offset"]) == offset and tuple(part["shape"]) == shape:
                return self._open(part["file"]).get_tensor(name=self.tied.get(name, name))
        return self._assembled(self.tied.get(name, name), entry, offset, shape)

    def _assembled(self, name: str, entry: Any, offset: Offset, shape: tuple[int, ...]) -> torch.Tensor:
        box: torch.Tensor | None = None
        filled = 0
        for part in entry["parts"]:
            low = [max(a, b) for a, b in zip(offset, part["offset"], strict=True)]
            high = [min(a + n, b + m) for a, n, b, m in zip(offset, shape, part["offset"], part["shape"], strict=True)]
            if any(a >= b for a, b in zip(low, high, strict=True)):
                continue
            there = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, part["offset"], strict=True))
            here = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, offset, strict=True))
            found = self._open(part["file"]).get_slice(name)[there]
            box = torch.empty(shape, dtype=found.dtype) if box is None else box
            box[here] = found
            filled += found.numel()
        assert box is not None, f"no part of {name} is there"
        assert filled == math.prod(shape), f"the parts of {name} do not cover it"
        return box

    def _open(self, file: str) -> Any:
        if file not in self._files:
            self._files[file] = self.enter_context(safe_open(self.folder / file, framework="pt"))
        return self._files[file]
