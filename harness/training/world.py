"""The processes that train one run together, and what they tell each other outside the gradients."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from harness.rundir import RunDir
from harness.schema import TrainerConfig


@dataclass
class World:
    """rank of size processes. Neighbours in rank share every matrix (`tensor_parallel` of them) and see the same rows;
    such groups share the batch."""

    rank: int = 0
    size: int = 1
    tensor_parallel: int = 1
    _hosts: Any = None  #: a group of processes for tensors on the CPU

    @classmethod
    def here(cls, config: TrainerConfig) -> World:
        """As whoever started this process says in its environment; a run on one device asks nobody, since containers
        and clusters say such things of themselves."""
        size = int(os.environ.get("WORLD_SIZE", 1)) if config.devices > 1 else 1
        return cls(int(os.environ.get("RANK", 0)), size, config.tensor_parallel) if size > 1 else cls()

    @property
    def leads(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    @property
    def data_rank(self) -> int:
        return self.rank // self.tensor_parallel

    @property
    def data_size(self) -> int:
        """Parts that the batch is cut into."""
        return self.size // self.tensor_parallel

    def total(self, values: Sequence[float]) -> list[float]:
        """Each value summed over the parts of the batch; on every rank the same."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(summed, group=self._cpu_group())
        return [value / self.tensor_parallel for value in summed.tolist()]

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, on every rank."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value, group=self._cpu_group())
        return values

    def barrier(self) -> None:
        """Waits until every rank is here."""
        if self.size > 1:
            dist.barrier(group=self._cpu_group())

    def _cpu_group(self) -> Any:
        """Waiting for the GPU only to compare two numbers would stop it."""
        if self._hosts is None:
            self._hosts = dist.group.WORLD if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")
        return self._hosts


class Follower(RunDir):
    """A run's directory as a rank sees it that does not lead: what is written once, it does not write."""

    def write(self, name: str, content: str) -> None:
        """Left to rank 0, as all that follows."""

    def update_manifest(self, **values: Any) -> None: ...

    def append_metrics(self, rows: Iterable[dict[str, Any]]) -> None: ...

    def forget_metrics_after(self, step: float) -> None: ...

    def remove(self, folder: Path) -> None: ...

    def at_step(self, step: int) -> None: ...
