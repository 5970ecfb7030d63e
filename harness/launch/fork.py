"""Processes forked from one that has imported what is heavy: how they start and how they hear that they must end."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

#: What asks a process to stop.
ENDING = (signal.SIGINT, signal.SIGTERM)


def fork(work: Callable[[], int]) -> BaseProcess:
    """Forks a process that exits with what `work` returns, and 130 where it is interrupted.

    It leads a process group of its own, so that Ctrl-C comes to it through its parent and only once; SIGINT and
    SIGTERM raise KeyboardInterrupt in it, as long as the work does not say otherwise; it gets SIGTERM when its parent
    dies. It may fork on.
    """
    with deaf():  # the parent's handlers must not run in the child
        process = multiprocessing.get_context("fork").Process(target=_begin, args=(work, os.getpid()))
        process.start()
    return process


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """SIGINT and SIGTERM wait until the block's end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def tell(process: BaseProcess, number: int) -> None:
    """Sends a signal, if the process is still there."""
    if process.pid is not None and process.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def redirect(file: int) -> None:
    """From here on the process prints to a file, given by its descriptor, whoever prints in it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = sys.stderr = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115  open to the end


def _begin(work: Callable[[], int], parent: int) -> None:
    code = 130
    with contextlib.suppress(KeyboardInterrupt):
        os.setpgid(0, 0)
        for number in ENDING:
            signal.signal(number, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        _die_with(parent)
        code = work()
    os._exit(code)  # what the parent wants done at its own end is not this process's to do


def _die_with(parent: int) -> None:
    """Asks Linux for SIGTERM when the parent dies, so that nothing trains on unseen."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
