"""Who carries a run out, and who may publish into it.

Two things make a lease. A lock on ``runs/.leases/<id>`` decides among the processes of one machine; the kernel takes it
back from the dead. The attempt, a folder ``runs/<id>/.attempt/<token>/``, decides among all who see the file system:
what is published is made in it and renamed out of it, and whoever takes the run over renames it away first. So a
holder that stood still and was given up finds its folder gone, and its next word is `LeaseLost`.

Signs of life are a count that the holder raises every `BEAT` seconds. One who waits on another machine gives it up when
the count has stood still for `TTL` seconds of its own monotonic clock: no two clocks are compared.

::

    runs/<id>/.attempt/<token>/
      holder.json   host, boot (of the kernel), pid, since
      pulse         three numbers: signs of life, the step the attempt began at, the step it has reached
      …             what is being made
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Any

from harness.errors import RunFailed, UserError

BEAT, TTL = 2.0, 30.0  #: seconds
LEASES, ATTEMPT, HOLDER, PULSE = ".leases", ".attempt", "holder.json", "pulse"

_WIDTH = 20  # of a number in the pulse, so that each has its own place and is written alone
_NO_STEP = -1


class LeaseLost(RunFailed):
    """The run is no longer this process's to write; nothing of what it makes from now on is published."""


@dataclass(frozen=True)
class Holder:
    """Who carries a run out, as its attempt's folder says. first, step: where the attempt began and how far it has
    come; null where it has not begun to train."""

    token: str
    host: str
    boot: str
    pid: int
    since: str
    beats: int
    first: int | None
    step: int | None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    def attempt(self, ended: str | None) -> dict[str, Any]:
        """The manifest's entry. ended: finished, failed, interrupted, killed, or null while it is under way."""
        return {
            "token": self.token,
            "host": self.host,
            "pid": self.pid,
            "from_step": self.first,
            "to_step": self.step,
            "ended": ended,
        }


@dataclass
class Lease:
    """What the holder has in hand. Forked children may use it, too; its end is the holder's alone.

    before: the holder whose place was taken, if it did not leave by itself. metrics: where rows are appended.
    """

    run: Path
    token: str
    before: Holder | None
    _lock: IO[str]
    _pulse: int
    _begun: bool = False
    metrics: IO[bytes] | None = None
    _pid: int = field(default_factory=os.getpid)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._live, name=f"lease of {self.run.name}", daemon=True)
        self._thread.start()

    @property
    def folder(self) -> Path:
        return self.run / ATTEMPT / self.token

    def at_step(self, step: int) -> None:
        """Kept so that it is known after a kill, too. The first call says where the attempt began."""
        with contextlib.suppress(OSError):
            if not self._begun:
                os.pwrite(self._pulse, f"{step:{_WIDTH}d}".encode(), _WIDTH)
                self._begun = True
            os.pwrite(self._pulse, f"{step:{_WIDTH}d}".encode(), 2 * _WIDTH)

    def holder(self) -> Holder:
        return Holder(self.token, _host(), _boot(), self._pid, "", *_numbers(os.pread(self._pulse, 3 * _WIDTH, 0)))

    def is_lost(self) -> bool:
        """Whether another has taken the run over (or has removed it)."""
        try:
            return os.stat(self.folder / PULSE).st_ino != os.fstat(self._pulse).st_ino
        except OSError:
            return True

    @contextlib.contextmanager
    def fenced(self) -> Iterator[Path]:
        """The attempt's folder, to make something in and rename it out. Raises LeaseLost where it is gone."""
        try:
            self.check()
            yield self.folder
        except OSError as error:
            if self.is_lost():
                raise self.lost() from error
            raise

    def check(self) -> None:
        """Raises LeaseLost."""
        if self.is_lost():
            raise self.lost()

    def lost(self) -> LeaseLost:
        now = read_holder(self.run)
        by = f"it is carried out by {now}" if now else "nobody has it now, or its folder was moved or removed"
        return LeaseLost(
            f"Run {self.run.name} was taken over from this process, which seemed to stand still; {by}. "
            f"What this process published before stands, and nothing was published since. "
            f"Start the same command again: it waits for the run's end, or goes on from its last checkpoint."
        )

    def move_aside(self, aside: Path) -> None:
        """Moves the run's directory away and goes on holding an empty one."""
        beside = _beside(self.run, self.token)
        beside.mkdir()
        with self.fenced() as folder:
            folder.rename(beside / self.token)
        with contextlib.suppress(OSError):
            (self.run / ATTEMPT).rmdir()
        self.run.rename(aside)
        self.run.mkdir()
        try:
            beside.rename(self.run / ATTEMPT)
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
            raise self.lost() from None

    def release(self, keep: bool = False) -> None:
        """keep: what says how far the attempt came is left for the next one to tell."""
        if os.getpid() != self._pid:
            return
        self._ended.set()
        self._thread.join()
        if self.metrics:
            self.metrics.close()
        if keep:
            _empty(self.folder, but=(HOLDER, PULSE))
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            (self.run / ATTEMPT).rmdir()
            self.run.rmdir()  # only an empty one: a run that did not come to its first word
        os.close(self._pulse)
        fcntl.flock(self._lock, fcntl.LOCK_UN)  # said aloud: children that outlive this process share the lock
        self._lock.close()

    def _live(self) -> None:
        beats = 0
        while not self._ended.wait(BEAT):
            beats += 1
            with contextlib.suppress(OSError):
                os.pwrite(self._pulse, f"{beats:{_WIDTH}d}".encode(), 0)
                os.fsync(self._pulse)


def take(run: Path) -> Lease:
    """The lease of a run's directory, which is made if need be. Waits, and says so once, while another holds it."""
    leases = run.parent / LEASES
    leases.mkdir(parents=True, exist_ok=True)
    lock = open(leases / run.name, "a")  # noqa: SIM115 - held as long as the lease
    token = secrets.token_hex(6)
    beside = _beside(run, token)
    try:
        _lock(lock, run)
        while True:
            before = _given_up(run)
            run.mkdir(parents=True, exist_ok=True)
            pulse = _prepare(beside / token)
            if _claim(run, beside, before):
                return Lease(run, token, before, lock, pulse)
            os.close(pulse)  # another machine was faster
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        lock.close()
        raise


def read_holder(run: Path) -> Holder | None:
    """Who has an attempt at a run, alive or dead; None where there is none."""
    try:
        token = next((entry.name for entry in os.scandir(run / ATTEMPT)), None)
    except OSError:
        return None
    if token is None:
        return None
    folder = run / ATTEMPT / token
    try:
        said = json.loads((folder / HOLDER).read_text())
        numbers = _numbers((folder / PULSE).read_bytes())
        return Holder(token, said["host"], said["boot"], said["pid"], said["since"], *numbers)
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(token, "an unknown machine", "", 0, "an unknown time", 0, None, None)


def is_here(holder: Holder) -> bool:
    """Whether the lock of this machine's kernel reaches it."""
    return holder.boot == _boot()


def is_locked(run: Path) -> bool:
    """Whether a process of this machine holds the run's lock."""
    try:
        with open(run.parent / LEASES / run.name) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def alive(runs: list[Path]) -> set[Path]:
    """Those runs that a process carries out now. Takes two beats if some are in the hands of another machine."""
    holders = {run: holder for run in runs if (holder := read_holder(run))}
    here = {run for run, holder in holders.items() if is_here(holder) and is_locked(run)}
    elsewhere = {run: holder for run, holder in holders.items() if not is_here(holder)}
    if elsewhere:
        time.sleep(2 * BEAT)
    return here | {run for run, holder in elsewhere.items() if read_holder(run) not in (None, holder)}


def _lock(lock: IO[str], run: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say_who(run, read_holder(run))
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise UserError(
            f"The file system of {run.parent} has no locks ({error.strerror}). Say runs=<folder on one that has>."
        ) from None


def _say_who(run: Path, holder: Holder | None) -> None:
    _say(f"{run.name} is carried out by {holder or 'another process'}; waiting for its end. Ctrl-C leaves.")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _given_up(run: Path) -> Holder | None:
    """Waits until nobody on another machine carries the run out. The holder who is dead, or None where none is left.
    This machine's lock is held: a holder from here is dead."""
    seen: Holder | None = None
    since, lives = 0.0, False
    while (now := read_holder(run)) is not None and not is_here(now):
        if seen is None:
            _say(f"{run.name} was in the hands of {now}; waiting for a sign of life for {TTL:.0f} s. Ctrl-C leaves.")
        elif now != seen and not lives:
            _say_who(run, now)
            lives = True
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > TTL:
            break
        time.sleep(BEAT / 4)
    return now


def _beside(run: Path, token: str) -> Path:
    """Where an attempt is prepared, and where one is moved that was given up."""
    return run.parent / LEASES / f"{run.name}-{token}"


def _prepare(folder: Path) -> int:
    """Makes an attempt's folder; the open pulse."""
    folder.mkdir(parents=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")  # for people; nothing compares it
    said = {"host": _host(), "boot": _boot(), "pid": os.getpid(), "since": now}
    (folder / HOLDER).write_text(json.dumps(said))
    pulse = os.open(folder / PULSE, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    os.pwrite(pulse, "".join(f"{n:{_WIDTH}d}" for n in (0, _NO_STEP, _NO_STEP)).encode(), 0)
    return pulse


def _claim(run: Path, beside: Path, before: Holder | None) -> bool:
    """Puts a prepared attempt in place of one that was given up. Of several that try, one succeeds."""
    gone = _beside(run, f"{before.token}-given-up") if before else None
    try:
        if before and gone:
            os.rename(run / ATTEMPT / before.token, gone)
        os.rename(beside, run / ATTEMPT)  # fails where a folder stands that is not empty
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(beside, ignore_errors=True)
        return False
    finally:
        if gone:
            shutil.rmtree(gone, ignore_errors=True)
    return True


def _empty(folder: Path, but: tuple[str, ...]) -> None:
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in but:
                path.unlink()


def _numbers(pulse: bytes) -> tuple[int, int | None, int | None]:
    beats, first, step = (int(pulse[k * _WIDTH : (k + 1) * _WIDTH]) for k in range(3))
    return beats, first if first != _NO_STEP else None, step if step != _NO_STEP else None


def _host() -> str:
    return socket.gethostname()


@cache
def _boot() -> str:
    """Names the running kernel: processes with the same share its locks."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _host()
