"""Several jobs side by side on this machine: forked processes, so that heavy imports are paid once.

Every child leads its own process group and writes to its own log; Ctrl-C in the parent asks each child to stop,
which saves a checkpoint first.
"""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from harness.errors import RunFailed, UserError
from harness.launch.fork import deaf, fork, redirect, tell
from harness.launch.machine import Machine, Needs, Place

#: Seconds that children have to end after a second Ctrl-C.
HURRY = 3.0


@dataclass
class Job:
    """work: called in the child. log: the file that takes what the child prints. after: names of jobs that must have
    ended well before it starts."""

    name: str
    work: Callable[[], object]
    log: Path
    needs: Needs = field(default_factory=Needs)
    after: tuple[str, ...] = ()


@dataclass
class Outcome:
    """How a job ended. code: its exit code, negative for a signal. error: its last words, one line. started:
    False where what it comes after failed; then error says so."""

    name: str
    code: int
    error: str = ""
    started: bool = True


@dataclass
class _Running:
    job: Job
    place: Place
    process: BaseProcess


@dataclass
class Pool:
    """Runs jobs in order, side by side as far as the machine goes, each on cores or GPUs of its own. A job that must
    wait for another lets those behind it go first.

    workers: at most so many at a time; null: as many as there are cores or GPUs for. Where more are asked for than
    there are cores, they share the cores. pin: whether a job keeps to its cores.
    """

    workers: int | None = None
    machine: Machine = field(default_factory=Machine.here)
    pin: bool = True
    tick: Callable[[Sequence[str]], None] = lambda names: None  #: called a few times a second with the running names
    running: list[_Running] = field(default_factory=list)

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """All outcomes, in the order of the jobs' ends. On KeyboardInterrupt, which SIGTERM means here, too, the
        children are asked to stop and waited for; then it is raised again. A second one waits for nothing."""
        assert all(job.needs.gpus <= len(self.machine.gpus) for job in jobs), "Machine.needs refuses them"
        waiting, ended = list(jobs), []
        most = max((job.needs.cores for job in jobs), default=0)
        shared = self.workers is not None and self.workers * most > len(self.machine.cores)
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            while waiting or self.running:
                while (job := self._ready(waiting)) and (place := self._place(job, shared)):
                    waiting.remove(job)
                    self._start(job, place)
                ended += self._reap()
                ended += _given_up(waiting, ended)
                self.tick([running.job.name for running in self.running])
                time.sleep(0.1)
        except BaseException as error:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._stop(said=isinstance(error, KeyboardInterrupt))
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
        return ended

    def _ready(self, waiting: Sequence[Job]) -> Job | None:
        """The first that waits for nothing but a place."""
        open_ = {job.name for job in waiting} | {running.job.name for running in self.running}
        return next((job for job in waiting if not open_ & set(job.after)), None)

    def _place(self, job: Job, shared: bool) -> Place | None:
        if self.workers is not None and len(self.running) >= self.workers:
            return None
        return self.machine.free(job.needs, [running.place for running in self.running], pinned=not shared)

    def _start(self, job: Job, place: Place) -> None:
        with deaf():
            process = fork(lambda: _child(job, place if self.pin else Place(gpus=place.gpus)))
            self.running.append(_Running(job, place, process))

    def _reap(self) -> list[Outcome]:
        ended = [running for running in self.running if not running.process.is_alive()]
        self.running = [running for running in self.running if running not in ended]
        return [_outcome(running) for running in ended]

    def _stop(self, said: bool) -> None:
        """Every child is asked once; those that a second Ctrl-C finds have a moment."""
        try:
            if said and self.running:
                what = "The run leaves" if len(self.running) == 1 else f"The {len(self.running)} runs leave"
                print(f"{what} with a checkpoint; Ctrl-C again ends at once.", file=sys.stderr, flush=True)
            self._end(signal.SIGINT)
        except KeyboardInterrupt:
            self._end(signal.SIGINT, HURRY)
            self._end(signal.SIGKILL)
        self.running = []

    def _end(self, number: int, seconds: float | None = None) -> None:
        for running in self.running:
            tell(running.process, number)
        deadline = seconds and time.monotonic() + seconds
        for running in self.running:
            running.process.join(deadline and max(0.0, deadline - time.monotonic()))


def _given_up(waiting: list[Job], ended: Sequence[Outcome]) -> list[Outcome]:
    """Takes out the jobs that come after one that failed, and those that come after them."""
    failed = {outcome.name for outcome in ended if outcome.code}
    found: list[Outcome] = []
    for job in list(waiting):
        if before := sorted(failed & set(job.after)):
            waiting.remove(job)
            found.append(Outcome(job.name, 1, f"not started, since {before[0]} failed", started=False))
    return [*found, *_given_up(waiting, found)] if found else []


def _outcome(running: _Running) -> Outcome:
    code = running.process.exitcode or 0
    return Outcome(running.job.name, code, "" if code == 0 else _last_words(running.job.log, code))


def _last_words(log: Path, code: int) -> str:
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    if code < 0:
        hint = ", as the system does where memory is short" if code == -signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{hint}"
    return lines[-1] if lines else f"exit code {code}"


def _child(job: Job, place: Place) -> int:
    place.enter()
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
