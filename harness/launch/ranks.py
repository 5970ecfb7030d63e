"""One run on several devices of this machine: a forked process for each rank, which begin and end together."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import IO, Any

from harness.errors import RunFailed
from harness.launch.fork import ENDING, deaf, fork, redirect, tell

#: Seconds that the others have, after a rank has failed, to end by themselves: most do when a peer is gone, and
#: the one whose end was the cause is then known.
SETTLE = 3.0


@dataclass
class _Rank:
    number: int
    process: BaseProcess
    errors: Connection
    said: IO[bytes]  #: what a rank other than 0 has printed
    failed_at: float | None = None  #: by the monotonic clock; 0 where a signal killed it
    error: BaseException | None = None


def together(devices: int, work: Callable[[int], object], gpus: Sequence[int | str] = ()) -> None:
    """Calls ``work(rank)`` in `devices` forked processes, one for each rank, and waits for their end.

    In each, the environment is what torchrun makes (RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, …), so that
    ``init_process_group()`` and Lightning's TorchElasticEnvironment find their way. gpus: what
    CUDA_VISIBLE_DEVICES says to all of them; empty: as it is. Rank 0 keeps stdout and stderr; what another prints is
    shown only if it fails.

    SIGINT and SIGTERM are passed on to every rank, once; a second SIGINT ends all at once.

    Raises what the first rank that failed raised, after all have ended; RunFailed where it was killed.
    """
    import torch

    assert not torch.cuda.is_initialized(), "CUDA cannot be used on in forked processes"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        environment = _environment(devices, gpus, listener.getsockname()[1])
        ranks: list[_Rank] = []
        try:
            with _passing_on(ranks):
                with deaf():  # a signal finds all of them or none
                    for number in range(devices):
                        ranks.append(_start(number, environment, work))
                store = _store(listener, devices)
                _wait(ranks)
                del store
        finally:
            for rank in ranks:
                tell(rank.process, signal.SIGKILL)
                rank.process.join()
    _raise_first(ranks)


def _environment(devices: int, gpus: Sequence[int | str], port: int) -> dict[str, str]:
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))} if gpus else {}
    return {
        **visible,
        "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "harness",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the parent is the store, so nobody else can take the port
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),  # a host's own name may lead nowhere
    }


def _store(listener: socket.socket, devices: int) -> Any:
    """Where the ranks meet, on the port that was listened at before they were forked. It starts threads, so it comes
    after the forks; a rank that was faster waits in the queue."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    host, port = listener.getsockname()
    return TCPStore(host, port, devices, True, wait_for_workers=False, master_listen_fd=os.dup(listener.fileno()))


def _start(number: int, environment: dict[str, str], work: Callable[[int], object]) -> _Rank:
    errors, mine = Pipe(duplex=False)
    said = tempfile.TemporaryFile()  # noqa: SIM115  it is read after the rank's end

    def rank() -> int:
        os.environ.update(environment, RANK=str(number), LOCAL_RANK=str(number))
        if number > 0:
            redirect(said.fileno())
        try:
            work(number)
        except BaseException as error:
            with contextlib.suppress(OSError):  # the parent is gone
                mine.send_bytes(_packed(error, number))
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
        return 0

    process = fork(rank)
    mine.close()
    return _Rank(number, process, errors, said)


def _packed(error: BaseException, number: int) -> bytes:
    """The error with its time and, as a note, the place where it was raised."""
    error.add_note(f"In rank {number}:\n{''.join(traceback.format_exception(error))}")
    try:
        packed = pickle.dumps((time.monotonic(), error))
        pickle.loads(packed)
    except Exception:  # an exception that cannot travel
        words = traceback.format_exception_only(error)[0].strip()
        packed = pickle.dumps((time.monotonic(), RunFailed(f"rank {number}: {words}")))
    return packed


@contextlib.contextmanager
def _passing_on(ranks: list[_Rank]) -> Iterator[None]:
    """The first signal goes on to every rank; a second SIGINT raises KeyboardInterrupt here."""
    heard: list[int] = []

    def hear(number: int, frame: object) -> None:
        if heard and number == signal.SIGINT == heard[-1]:
            raise KeyboardInterrupt
        if not heard:
            for rank in ranks:
                tell(rank.process, number)
        heard.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, hear) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(ranks: Sequence[_Rank]) -> None:
    """Until all have ended, or until the first failure is SETTLE seconds old."""
    deadline = float("inf")
    while time.monotonic() < deadline:
        for rank in ranks:
            _look(rank)
        if not any(rank.process.is_alive() for rank in ranks):
            break
        if deadline == float("inf") and any(rank.failed_at is not None for rank in ranks):
            deadline = time.monotonic() + SETTLE
        time.sleep(0.05)
    for rank in ranks:
        _look(rank)


def _look(rank: _Rank) -> None:
    """Takes note of how a rank has failed."""
    if rank.failed_at is not None:
        return
    code = rank.process.exitcode  # asked before the pipe: what comes last is not missed
    with contextlib.suppress(EOFError):
        if rank.errors.poll():
            rank.failed_at, rank.error = pickle.loads(rank.errors.recv_bytes())
            return
    if code:
        rank.failed_at, rank.error = 0.0, RunFailed(f"rank {rank.number} {_end(code)}")


def _end(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}, without a word."
    hint = " That is how the system ends what takes too much memory." if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}.{hint}"


def _raise_first(ranks: Sequence[_Rank]) -> None:
    failed = [rank for rank in ranks if rank.failed_at is not None]
    if not failed:
        return
    first = min(failed, key=lambda rank: rank.failed_at or 0.0)
    assert first.error is not None
    if not first.failed_at:
        first.said.seek(0)
        sys.stderr.write(first.said.read().decode(errors="replace")[-4000:])
    raise first.error
