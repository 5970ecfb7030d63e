"""What of this machine runs may use, what each needs of it, and what it is given."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.schema import RunConfig


@dataclass(frozen=True)
class Needs:
    """What one job needs: cores (none: whichever are there) and whole GPUs."""

    cores: int = 1
    gpus: int = 0


@dataclass(frozen=True)
class Place:
    """Where a job runs. cores: their numbers; empty: it is not pinned. gpus: their names; empty: whichever it finds."""

    cores: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()

    def enter(self) -> None:
        """From here on this process and those that it starts run here alone."""
        if self.cores:
            os.sched_setaffinity(0, self.cores)
        if self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)


@dataclass(frozen=True)
class Machine:
    """cores: the numbers of those that this process may use. gpus: as CUDA_VISIBLE_DEVICES names them."""

    cores: tuple[int, ...]
    gpus: tuple[str, ...] = ()

    @classmethod
    def here(cls) -> Machine:
        able = hasattr(os, "sched_getaffinity")
        cores = sorted(os.sched_getaffinity(0)) if able else range(os.cpu_count() or 1)
        return cls(tuple(cores), _gpus())

    def needs(self, config: RunConfig) -> Needs:
        """Of one run: a GPU for each of its processes, or the cores for their threads and their loaders' processes.
        Raises UserError where there are too few GPUs, or its tracker cannot work here."""
        trainer = config.trainer
        if config.tracker is not None:
            config.tracker.require()
        if trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not self.gpus):
            return Needs(cores=trainer.devices * (trainer.threads + config.data.workers))
        if trainer.devices > len(self.gpus):
            raise UserError(
                f"A run asks for trainer.devices={trainer.devices} GPUs, and this machine has {len(self.gpus)}: say "
                f"trainer.devices={len(self.gpus) or 1}{'' if self.gpus else ' and trainer.accelerator=cpu'}."
            )
        return Needs(cores=0, gpus=trainer.devices)

    def free(self, needs: Needs, taken: Iterable[Place], pinned: bool) -> Place | None:
        """Where a job can run beside others; null: it has to wait. A job that needs more cores than there are gets
        all of them. pinned: whether cores are counted at all."""
        places = list(taken)
        gpus = [gpu for gpu in self.gpus if not any(gpu in place.gpus for place in places)][: needs.gpus]
        cores = [core for core in self.cores if not any(core in place.cores for place in places)][: needs.cores]
        if len(gpus) < needs.gpus or (pinned and len(cores) < min(needs.cores, len(self.cores))):
            return None
        return Place(tuple(cores) if pinned else (), tuple(gpus))


def _gpus() -> tuple[str, ...]:
    """PyTorch is imported only where there is a driver; it counts without touching the GPUs, which would not survive
    a fork."""
    if not (Path("/dev/nvidia0").exists() or Path("/dev/kfd").exists()):
        return ()
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch

    told = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in told.split(",")] if told.strip() else map(str, range(torch.cuda.device_count()))
    return tuple(names)[: torch.cuda.device_count()]
