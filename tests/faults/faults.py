"""Faults, each injected into the command as a person types it; what the person saw, and what was lost.

The command runs in a process of its own, forked from one that has imported what is heavy. What happens inside of it (the
disk fills after the third checkpoint) is done by a function that it calls first.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import logging
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import lease
from harness.files import is_whole
from harness.rundir import RunDir

ROOT = os.geteuid() == 0
STEPS = 20
PATIENCE = 120.0  # seconds

Act = Callable[[], object]


def nothing() -> None: ...


def after_three(act: Act) -> Act:
    """The run acts when its third checkpoint is in its place."""
    plain, done = RunDir.publish, []

    def publish(self: RunDir, staged: Path, final: Path, checksums: Any = None) -> None:
        plain(self, staged, final, checksums)
        if final.parent.name == "checkpoints":
            done.append(final)
            if len(done) == 3:
                act()

    return lambda: setattr(RunDir, "publish", publish)


def signalled(number: int) -> Act:
    return after_three(lambda: os.kill(os.getpid(), number))


@dataclass
class Seen:
    """code: the exit code of the command that met the fault. said: its last paragraph on stderr. lost: of what had
    been published, and how the run ended after the command was typed again."""

    code: int
    said: str
    lost: str


class Command:
    """A command that was typed: a process, and what it says on stderr."""

    def __init__(self, words: list[str], folder: Path, before: Act) -> None:
        said, self.file = tempfile.mkstemp(dir=folder, prefix="said-")
        self.pid = os.fork()
        self.code: int | None = None
        if not self.pid:
            _be(words, folder, said, before)
        os.close(said)

    def said(self) -> str:
        return Path(self.file).read_text()

    def poll(self) -> int | None:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait_for(self, condition: Act) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, self.said()
            time.sleep(0.02)

    def ended(self) -> tuple[int, str]:
        self.wait_for(lambda: self.poll() is not None)
        assert self.code is not None
        return self.code, self.said()

    def has_stopped(self) -> bool:
        assert self.poll() is None, self.said()
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _be(words: list[str], folder: Path, said: int, before: Act) -> None:
    """The child becomes the command."""
    code = 99
    try:
        os.setpgid(0, 0)
        os.dup2(said, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        os.environ.update({"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"})
        os.chdir(folder)
        logging.getLogger().handlers.clear()  # pytest's
        from harness.cli import main

        before()
        code = main(words)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 98
    finally:
        os._exit(code)


class Bench:
    """A folder with a small corpus, in which commands are typed."""

    def __init__(self, folder: Path) -> None:
        import harness.training.fit
        import harness.training.train  # noqa: F401 - before the forks

        self.folder = folder
        text = folder / "text"
        text.mkdir()
        for number in range(40):
            (text / f"{number}.txt").write_text(f"the {number} times table: {number * number} " * 20)

    def start(self, *more: str, before: Act = nothing, many: bool = False) -> Command:
        words = [
            "train", *(["-m"] if many else []), "reuse=any", "corpus=text", f"corpus.path={self.folder / 'text'}", "tokenizer=bytes", "experiment=tiny",
            "suite=null", "architecture.width=16", "data.sequence_length=16", "data.batch_size=4", "data.held_out=0.2",
            f"budget.tokens={STEPS * 64}", "trainer.accelerator=cpu", "trainer.checkpoints=10", "trainer.keep=10",
        ]  # fmt: skip
        return Command([*words, *more], self.folder, before)

    def type(self, *more: str, before: Act = nothing, many: bool = False) -> tuple[int, str]:
        """The exit code and all of stderr."""
        return self.start(*more, before=before, many=many).ended()

    @property
    def run(self) -> RunDir:
        (manifest,) = (self.folder / "runs").glob("*/manifest.json")
        return RunDir(manifest.parent)

    def killed(self) -> dict[str, bytes]:
        """Trains up to the third checkpoint and kills the run; what was published."""
        assert self.type(before=signalled(signal.SIGKILL))[0] == -signal.SIGKILL
        return published(self.run)

    def half_made(self) -> list[Path]:
        """What nobody would read: attempts, folders on their way, checkpoints that are not whole."""
        runs = self.folder / "runs"
        hidden = [
            path for pattern in ("*/.attempt", ".leases/*-*", "*/.*-*", "*/*/.*-*") for path in runs.glob(pattern)
        ]
        return [*hidden, *(path for path in runs.glob("*/checkpoints/*") if not is_whole(path))]

    def lost(self, before: dict[str, bytes], *, again: bool = True, cleared: bool = True) -> str:
        """Holds what was published before against what is there now, types the command again where the first one
        failed, and looks at the run's end. cleared: whether the first one could clear away what it had half made; else
        the second one does."""
        now = published(self.run) if before else {}
        assert {name: now.get(name) for name in before} == before
        assert cleared != bool(self.half_made())
        if again:
            code, told = self.type()
            assert code == 0, told
            assert not self.half_made()
        assert self.run.state() == "finished"
        assert self.run.last_whole_checkpoint() == (STEPS, self.run.checkpoint(STEPS))
        steps = sum(a["to_step"] - a["from_step"] for a in self.run.manifest()["attempts"])
        assert steps >= STEPS, self.run.manifest()["attempts"]
        return f"nothing of {len(before)} published files; {steps - STEPS} of {STEPS} steps were done again"


def published(run: RunDir) -> dict[str, bytes]:
    """The files of whole checkpoints and of the tokenizer, by name."""
    folders = [folder for _, folder in run.checkpoints() if is_whole(folder)] + [run.path / "tokenizer"]
    return {
        str(file.relative_to(run.path)): file.read_bytes()
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file()
    }


def paragraph(told: str) -> str:
    """The last that the command said."""
    assert "Traceback" not in told, told
    return " ".join(told[told.rindex("harness: ") :].split())


FAULTS: dict[str, Callable[[Bench], Seen]] = {}
NEED_ROOT: set[str] = set()


def fault(name: str, *, root: bool = False) -> Callable[[Any], Any]:
    def keep(inject: Callable[[Bench], Seen]) -> Callable[[Bench], Seen]:
        FAULTS[name] = inject
        NEED_ROOT.update([name] if root else [])
        return inject

    return keep


def carry_out(name: str) -> Seen:
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        seen = FAULTS[name](Bench(Path(folder).resolve()))
    said = re.sub(rf"{re.escape(folder)}/", "", seen.said)
    return Seen(seen.code, said, seen.lost)


# ------------------------------------------------------------------------------------- the disk


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(file: Path) -> None:
    with contextlib.suppress(OSError), open(file, "wb", buffering=0) as other:
        while True:
            other.write(bytes(4096))


def weights(files: dict[str, bytes]) -> int:
    return sum(name.endswith("model.safetensors") for name in files)


@fault("the disk fills up", root=True)
def disk_full(bench: Bench) -> Seen:
    runs = bench.folder / "runs"
    with small_disk(runs, "size=8m"):
        code, told = bench.type(before=after_three(lambda: fill(runs / "other")))
        (runs / "other").unlink()
        before = published(bench.run)
        assert weights(before) == 3
        return Seen(
            code, paragraph(told), bench.lost(before, cleared=False)
        )  # how far it came cannot be told elsewhere


@fault("files may not grow (ulimit -f)")
def file_limit(bench: Bench) -> Seen:
    limit = after_three(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384)))
    code, told = bench.type(before=limit)
    before = published(bench.run)
    assert weights(before) == 3
    return Seen(code, paragraph(told), bench.lost(before))


@fault("the folder for runs is read-only", root=True)
def read_only(bench: Bench) -> Seen:
    with small_disk(bench.folder / "runs", "size=8m,ro"):
        code, told = bench.type()
        assert not list((bench.folder / "runs").iterdir())
    return Seen(code, paragraph(told), bench.lost({}))


@fault("the right to write is taken away", root=True)
def forbidden(bench: Bench) -> Seen:
    code, told = bench.type(before=after_three(lambda: os.seteuid(65534)))
    before = published(bench.run)
    assert weights(before) == 3
    return Seen(code, paragraph(told), bench.lost(before, cleared=False))


# ------------------------------------------------------------------------------- damaged files


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def halve(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def damaged(bench: Bench, damage: Callable[[Path], object]) -> Seen:
    """The last checkpoint's weights are damaged after a kill; the same command is typed again."""
    before = bench.killed()
    last = bench.run.checkpoints()[-1][1]
    damage(last / "model.safetensors")
    before = {name: content for name, content in before.items() if last.name not in name}
    code, told = bench.type()
    (said,) = [line for line in told.splitlines() if "is damaged" in line]
    return Seen(code, said, bench.lost(before, again=False))


@fault("a checkpoint is damaged")
def checkpoint_damaged(bench: Bench) -> Seen:
    return damaged(bench, flip)


@fault("a checkpoint is cut short")
def checkpoint_cut(bench: Bench) -> Seen:
    return damaged(bench, halve)


@fault("a file of a checkpoint is missing")
def checkpoint_missing(bench: Bench) -> Seen:
    return damaged(bench, Path.unlink)


def shards(bench: Bench) -> list[Path]:
    return sorted(bench.folder.glob("cache/harness/shards/*/train-*.tokens"))


@fault("a shard in the cache is damaged, another cut short")
def shard_damaged(bench: Bench) -> Seen:
    before = bench.killed()
    whole = [file.read_bytes() for file in shards(bench)]
    flip(shards(bench)[0])
    halve(shards(bench)[1])
    code, told = bench.type()
    assert "Traceback" not in told
    assert [file.read_bytes() for file in shards(bench)] == whole
    return Seen(code, "(nothing: it is found when it is opened, and made anew)", bench.lost(before, again=False))


@fault("a shard is cut short while a run reads it")
def shard_cut(bench: Bench) -> Seen:
    code, told = bench.type(before=after_three(lambda: [os.truncate(file, 10) for file in shards(bench)]))
    before = published(bench.run)
    assert weights(before) >= 3
    return Seen(code, paragraph(told), bench.lost(before))


# ---------------------------------------------------------------------------------- the lease


def move_elsewhere() -> None:
    """To another machine: a kernel of its own, whose locks do not reach, and little patience."""
    lease._lock, lease._boot, lease.TTL = lambda lock, run: None, lambda: "another", 2.0  # type: ignore[assignment]


@fault("two processes on one run")
def two_processes(bench: Bench) -> Seen:
    first = bench.start(before=signalled(signal.SIGSTOP))
    first.wait_for(first.has_stopped)
    before = published(bench.run)
    second, third = bench.start(), bench.start()
    for waiting in (second, third):
        waiting.wait_for(lambda waiting=waiting: "waiting for its end" in waiting.said())
    os.kill(third.pid, signal.SIGINT)
    assert third.ended()[0] == 130
    os.kill(first.pid, signal.SIGCONT)
    assert first.ended()[0] == 0
    code, told = second.ended()
    (said,) = [line for line in told.splitlines() if "waiting" in line]
    return Seen(code, said, bench.lost(before, again=False))


@fault("a holder stands still and is given up")
def lost_lease(bench: Bench) -> Seen:
    def stands() -> dict[str, bytes]:
        own = {name: (bench.run.path / name).read_bytes() for name in ("manifest.json", "metrics.jsonl", "config.json")}
        return published(bench.run) | own

    first = bench.start(before=signalled(signal.SIGSTOP))
    first.wait_for(first.has_stopped)
    before = published(bench.run)
    code, told = bench.type(before=move_elsewhere)
    assert code == 0, told
    finished = stands()
    os.kill(first.pid, signal.SIGCONT)
    code, told = first.ended()
    assert stands() == finished
    return Seen(code, paragraph(told), bench.lost(before, again=False))


@fault("the clock jumps to and fro")
def clock(bench: Bench) -> Seen:
    real, jumps = time.time, itertools.cycle([1e9, -1e9, 0])
    code, told = bench.type(before=lambda: setattr(time, "time", lambda: real() + next(jumps)))
    assert "Traceback" not in told
    return Seen(code, "(nothing: no two clocks are compared)", bench.lost({}, again=False))


# ------------------------------------------------------------------------------------- memory


def small_shared_memory() -> None:
    """A small /dev/shm that this process alone sees."""
    assert ctypes.CDLL(None).unshare(0x00020000) == 0  # CLONE_NEWNS
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", "/dev/shm"], check=True)


def fill_shared_memory() -> None:
    fill(Path("/dev/shm/other"))


@fault("/dev/shm is full", root=True)
def no_shared_memory(bench: Bench) -> Seen:
    code, told = bench.type("data.workers=2", before=lambda: (small_shared_memory(), fill_shared_memory()))
    return Seen(code, paragraph(told), bench.lost({}))


@fault("/dev/shm fills up", root=True)
def shared_memory(bench: Bench) -> Seen:
    fills = after_three(fill_shared_memory)
    code, told = bench.type("data.workers=2", before=lambda: (small_shared_memory(), fills()))
    assert "Traceback" not in told
    return Seen(code, "(nothing: batches go through pipes)", bench.lost({}, again=False))


@fault("memory runs out")
def memory(bench: Bench) -> Seen:
    def limit() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 600_000_000, used + 600_000_000))

    code, told = bench.type("architecture.width=8192", before=limit)
    assert not bench.half_made()
    return Seen(code, paragraph(told), "nothing: there was nothing yet")


@fault("a data worker is killed, as for lack of memory")
def worker_killed(bench: Bench) -> Seen:
    kill = after_three(lambda: os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL))
    code, told = bench.type("data.workers=2", before=kill)
    return Seen(code, paragraph(told), bench.lost(published(bench.run)))


@fault("one of several runs side by side is killed")
def run_killed(bench: Bench) -> Seen:
    code, told = bench.type("seed=0", before=signalled(signal.SIGKILL), many=True)
    before = published(bench.run)
    return Seen(code, paragraph(told), bench.lost(before, cleared=False))
