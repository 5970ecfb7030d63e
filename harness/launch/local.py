"""Several jobs side by side on this machine: forked processes, so that heavy imports are paid once.

Every child leads its own process group and writes to its own log; Ctrl-C in the parent asks each child to stop,
which saves a checkpoint first.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from harness.data.shards import cores
from harness.errors import RunFailed, UserError
from harness.launch.fork import fork, redirect, tell

#: Seconds that children have to end after a second Ctrl-C.
HURRY = 3.0


@dataclass
class Job:
    """work: called in the child. log: the file that takes what the child prints."""

    name: str
    work: Callable[[], object]
    log: Path


@dataclass
class Outcome:
    """How a job ended. code: its exit code, negative for a signal. error: its last words, one line."""

    name: str
    code: int
    error: str = ""


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    gpu: int | None


@dataclass
class Pool:
    """Runs jobs in order, at most `workers` at a time, one GPU each where there are GPUs."""

    workers: int
    gpus: int = 0
    tick: Callable[[Sequence[str]], None] = lambda names: None  #: called a few times a second with the running names
    running: list[_Running] = field(default_factory=list)

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """All outcomes, in the order of the jobs' ends. On KeyboardInterrupt, which SIGTERM means here, too, the
        children are asked to stop and waited for; then it is raised again."""
        waiting, ended = list(jobs), []
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            while waiting or self.running:
                while waiting and len(self.running) < self.workers:
                    self._start(waiting.pop(0))
                ended += self._reap()
                self.tick([running.job.name for running in self.running])
                time.sleep(0.1)
        except BaseException:
            self._stop()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
        return ended

    def _start(self, job: Job) -> None:
        busy = {running.gpu for running in self.running}
        gpu = next((g for g in range(self.gpus) if g not in busy), None)
        process = fork(lambda: _child(job, gpu))
        self.running.append(_Running(job, process, gpu))

    def _reap(self) -> list[Outcome]:
        ended = [running for running in self.running if not running.process.is_alive()]
        self.running = [running for running in self.running if running not in ended]
        return [_outcome(running) for running in ended]

    def _stop(self) -> None:
        try:
            self._end(signal.SIGINT)
        except KeyboardInterrupt:  # a second Ctrl-C: not even a checkpoint is waited for
            self._end(signal.SIGINT, HURRY)
            self._end(signal.SIGKILL)
        self.running = []

    def _end(self, number: int, seconds: float | None = None) -> None:
        for running in self.running:
            tell(running.process, number)
        deadline = seconds and time.monotonic() + seconds
        for running in self.running:
            running.process.join(deadline and max(0.0, deadline - time.monotonic()))


def gpus_here(accelerator: str = "auto") -> int:
    """GPUs that runs may use. torch is imported only where there is a driver."""
    if accelerator == "cpu" or not (Path("/dev/nvidia0").exists() or Path("/dev/kfd").exists()):
        return 0
    import torch

    return torch.cuda.device_count()


def workers_here(asked: int | None, gpus: int) -> int:
    """Jobs side by side: as asked, or one for each GPU, or one for each core."""
    return asked or gpus or cores()


def _outcome(running: _Running) -> Outcome:
    code = running.process.exitcode or 0
    return Outcome(running.job.name, code, "" if code == 0 else _last_words(running.job.log, code))


def _last_words(log: Path, code: int) -> str:
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return lines[-1] if lines else f"exit code {code}"


def _child(job: Job, gpu: int | None) -> int:
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "a") as log:
        redirect(log.fileno())
        return _guarded(job)


def _guarded(job: Job) -> int:
    try:
        job.work()
        code = 0
    except KeyboardInterrupt:
        code = 130
    except (UserError, RunFailed) as error:
        print(error, file=sys.stderr)
        code = 2 if isinstance(error, UserError) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code
