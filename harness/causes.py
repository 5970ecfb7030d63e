"""What the machine can do to a command, told in one paragraph: a disk that is full, memory that is short.

Libraries wrap such an error in words of their own, so it is known by what it says. Nothing heavy is imported.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator

from harness.errors import RunFailed, UserError

#: What a message says of the system's error: ours, Rust's (safetensors, tokenizers), C++'s (PyTorch, Arrow).
_ERRNO = re.compile(r"\[Errno (\d+)\]|\(os error (\d+)\)|error code:? (\d+)")
_MEMORY = re.compile(r"can't allocate memory|out of memory|not enough memory|Cannot allocate memory|std::bad_alloc")
_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? (\d+).*?\) (?:is killed by signal: (\w[\w ]*)|exited)")

SHARED_MEMORY = "/dev/shm"

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
BROKEN = {errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV, errno.EREMOTEIO}


@contextlib.contextmanager
def told_in_words() -> Iterator[None]:
    """Raises in a block's errors' place what `in_words` says, where it knows them."""
    try:
        yield
    except Exception as error:
        told = in_words(error)
        if told is None or told is error:
            raise
        raise told from error


def in_words(error: BaseException) -> UserError | RunFailed | None:
    """The error as a person should read it; itself where it is told well already; None where it is no known cause."""
    for one in _with_causes(error):
        found = _in_words(one)
        if found is not None:
            return found
    return None


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _in_words(error: BaseException) -> UserError | RunFailed | None:
    if isinstance(error, (UserError, RunFailed)):
        return _of_worker(error)
    text = str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _MEMORY.search(text):
        return _out_of_memory(error, text)
    if worker := _WORKER.search(text):
        return _worker_gone(worker[1], worker[2])
    number = error.errno if isinstance(error, OSError) and error.errno else _number_in(text)
    return _of_the_system(error, number, text)


def _of_worker(error: UserError | RunFailed) -> UserError | RunFailed:
    """A data worker's error comes with its traceback; the last line is what it said."""
    text = str(error)
    if "in DataLoader worker process" not in text:
        return error
    return type(error)(text.strip().splitlines()[-1].partition(": ")[2])


def _number_in(text: str) -> int | None:
    found = _ERRNO.search(text)
    return int(next(group for group in found.groups() if group)) if found else None


def _of_the_system(error: BaseException, number: int | None, text: str) -> UserError | RunFailed | None:
    where = getattr(error, "filename", None) or ""
    if number in FULL:
        return RunFailed(_full(str(where), number))
    if number in FORBIDDEN and where:
        return UserError(
            f"{where}: {os.strerror(number or 0)}. Give this user the right to write there, or name another place: "
            "runs=<folder> for runs, XDG_CACHE_HOME=<folder> for what is kept between them."
        )
    if number in BROKEN:
        return RunFailed(
            f"{where or 'A file system'}: {os.strerror(number or 0)}. The storage failed. What was published before is "
            "checked when it is read; start the same command again when the storage is well."
        )
    if where and isinstance(error, OSError):
        return UserError(f"{where}: {error.strerror}.")
    return None


def _full(where: str, number: int | None) -> str:
    if not where and is_full(SHARED_MEMORY):
        return (
            "/dev/shm is full: the processes of a run have no shared memory to meet in. Make it larger (docker run "
            "--shm-size=1g), or say data.workers=0."
        )
    limit = " (a limit on the size of files, ulimit -f)" if number == errno.EFBIG else ""
    return (
        f"{where + ': ' if where else ''}{os.strerror(number or 0)}{limit}. Nothing that was published is lost, and "
        "nothing half-written stays. Make room (`harness gc` lists what can go) or say runs=<folder> on another disk; "
        "the same command then goes on from the last checkpoint."
    )


def is_full(folder: str) -> bool:
    """Whether less than 64 KiB are free on a folder's file system."""
    try:
        free = os.statvfs(folder)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize < 64 * 1024


def _out_of_memory(error: BaseException, text: str) -> RunFailed:
    gpu = "CUDA" in text or type(error).__name__ == "OutOfMemoryError"
    asked = re.search(r"[Tt]ried to allocate ([\d.]+ \w+)", text)
    size = f" when it asked for {asked[1].rstrip('.')} more" if asked else ""
    return RunFailed(
        f"The {'GPU is' if gpu else 'machine is'} out of memory{size}. Every published checkpoint is kept. A smaller "
        "trainer.micro_batch leaves the run the same run and is the first to try; "
        "trainer.activation_checkpointing=blocks keeps fewer activations, method.logits_chunk fewer logits, and "
        "trainer.strategy=fsdp with trainer.devices=<n> spreads the weights. `harness plan` and `harness describe` say "
        "what a run needs."
    )


def _worker_gone(pid: str, killed_by: str | None) -> RunFailed:
    how = f"was killed ({killed_by.strip()})" if killed_by else "has ended without a word"
    return RunFailed(
        f"A data worker (process {pid}) {how}; the system does that where memory is short. Fewer data.workers need "
        "less of it. The same command goes on from the last checkpoint."
    )
