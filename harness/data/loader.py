"""Sequences to batches: a loader without state, built at the step where it is to begin."""

from __future__ import annotations

import atexit
import signal
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from harness.config import ConfigError
from harness.data.curriculum import Stage, places, stage_of
from harness.data.stream import Stream
from harness.interfaces.batch import Batch
from harness.interfaces.method import Method

#: The loader's length in steps: constant and beyond any budget, since a length that shrank on resuming would end
#: the epoch early.
ENDLESS = 2**40

#: Steps that are prepared at a time where no workers do it, and their tokens at most: one after the other they find all
#: they need in the processor's caches, and cost a quarter of what each costs between two steps of training.
MOST_AHEAD, TOKENS_AHEAD = 16, 2**20


@dataclass(frozen=True)
class Rows:
    """Which places of the stream one optimizer step takes, and how ranks and micro-batches share them.

    Step k takes places k·batch_size … (k + 1)·batch_size − 1; each rank a contiguous part of them, in
    micro-batches of at most `micro_batch` rows (None: one). stages: of a curriculum, which has batch sizes of its own.
    """

    batch_size: int
    micro_batch: int | None = None
    rank: int = 0
    world_size: int = 1
    stages: Sequence[Stage] = ()

    def __post_init__(self) -> None:
        for size in (self.batch_size, *(stage.batch_size for stage in self.stages)):
            if size % self.world_size:
                raise ConfigError(
                    f"data.batch_size={size} cannot be shared equally by {self.world_size} devices: "
                    f"give a multiple of {self.world_size}."
                )

    def of_step(self, step: int) -> list[tuple[int, int]]:
        """(first place, rows) of each micro-batch of this rank."""
        size, before = self.batch_size, step * self.batch_size
        if self.stages:
            size, before = stage_of(self.stages, step).batch_size, places(self.stages, step)
        rows = size // self.world_size
        first = before + self.rank * rows
        micro = min(self.micro_batch or rows, rows)
        return [(first + start, min(micro, rows - start)) for start in range(0, rows, micro)]


class Steps(Dataset):
    """Item i: the micro-batches of optimizer step ``first_step + i``."""

    def __init__(self, stream: Stream, method: Method, rows: Rows, first_step: int) -> None:
        self.stream, self.method, self.rows, self.first_step = stream, method, rows, first_step

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> list[Batch]:
        step, stages = self.first_step + index, self.rows.stages
        places = self.rows.of_step(step)
        if not stages:
            return [self.method.prepare(self.stream.sequences(*place), self.stream.randomness) for place in places]
        length = stage_of(stages, step).sequence_length
        return [self.method.prepare(*self.stream.pieces(*place, length)) for place in places]


class Workers(DataLoader):
    """Takes from its workers arrays, which travel through pipes. Tensors would travel through /dev/shm, which is
    small in containers, and a worker that finds it full leaves the training process waiting for ever."""

    def __iter__(self) -> Iterator[list[Batch]]:  # type: ignore[override]
        found: Any = super().__iter__()
        atexit.register(_end_workers, weakref.ref(found))
        return map(_as_tensors, found)


def loader(
    stream: Stream, method: Method, rows: Rows, first_step: int = 0, workers: int = 0, planned: int = ENDLESS
) -> Iterable[list[Batch]]:
    """Yields, for each optimizer step from the first on, the list of this rank's micro-batches on the CPU.

    planned: the run's steps; it asks for more where it leaves some out, and none of those is prepared before. The same
    for any number of workers. Torch's global generator is left as it is. Raises ConfigError where the rows cannot be
    shared by the ranks.
    """
    steps = Steps(stream, method, rows, first_step)
    if not workers:
        return _some_at_a_time(steps, planned - first_step)
    return Workers(
        steps,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_arrays,
        multiprocessing_context="fork",
        worker_init_fn=_ignore_signals,
        generator=torch.Generator(),
    )


def _some_at_a_time(steps: Steps, planned: int) -> Iterator[list[Batch]]:
    ahead = min(MOST_AHEAD, TOKENS_AHEAD // (steps.rows.batch_size * steps.stream.length))
    start = 0
    while True:
        stop = max(start + 1, min(start + ahead, planned))
        yield from [steps[index] for index in range(start, stop)]
        start = stop


def _ignore_signals(worker: int) -> None:
    """Ctrl-C and Slurm signal the whole group; the training process decides, and its workers end when it is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _end_workers(iterator: weakref.ref[Any]) -> None:
    """At the end of the process, where an error's traceback still holds on to the iterator: Python would send its
    workers a SIGTERM, which they ignore, and wait for them."""
    if found := iterator():
        found._shutdown_workers()
        for worker in found._workers:
            worker.kill()


def _as_arrays(batches: list[Batch]) -> list[dict[str, Any]]:
    return [
        {f.name: _each(getattr(batch, f.name), torch.Tensor, torch.Tensor.numpy) for f in fields(batch)}
        for batch in batches
    ]


def _as_tensors(batches: list[dict[str, Any]]) -> list[Batch]:
    return [Batch(**_each(batch, np.ndarray, torch.from_numpy)) for batch in batches]


def _each(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """`change` of every value of a kind, also inside of dictionaries."""
    if isinstance(value, dict):
        return {key: _each(item, kind, change) for key, item in value.items()}
    return change(value) if isinstance(value, kind) else value
