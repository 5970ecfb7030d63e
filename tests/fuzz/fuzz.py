"""The fuzzer: random command lines and damaged files through `harness.cli.main`, held against one law.

The law: exit code 0, 1 or 2; never a traceback; what went wrong in one paragraph; nothing half-made.

``python -m tests.fuzz.fuzz [--seconds 60] [--seed N] [--case K]`` — a seed and a case replay what was found.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Seconds that one command line may take, on a machine that has other things to do.
LIMIT = 300
#: Letters of a paragraph, at most: a list of all columns of a table is the longest.
PARAGRAPH = 4000


@dataclass
class Finding:
    """One broken law. words: the command line; done: what was damaged before it."""

    case: int
    words: list[str]
    done: str
    broken: str

    def __str__(self) -> str:
        shown = [word if len(word) < 100 else f"{word[:100]}…" for word in self.words]
        return f"case {self.case}: {shown}{f', after {self.done}' if self.done else ''}\n{self.broken}"


class TooLong(BaseException):
    pass


def run(words: list[str], stdin: bytes = b"") -> tuple[int | None, str, str]:
    """Exit code, standard error, and the traceback of what escaped."""
    from harness.cli import main

    err, before = io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err), limited():
            return main(words), err.getvalue(), ""
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return None, err.getvalue(), "".join(traceback.format_exception(error)[-12:])
    finally:
        sys.stdin = before


@contextlib.contextmanager
def limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLong(f"it took more than {LIMIT} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def broken_law(code: int | None, err: str, escaped: str) -> str:
    """What of the law was broken; empty if nothing."""
    if escaped or "Traceback" in err:
        return escaped or err
    if code not in (0, 1, 2):
        return f"exit code {code}"
    told = err[err.rfind("harness:") :] if "harness:" in err else ""
    if code and not told:
        return f"exit code {code} without a paragraph: {err!r}"
    if "\n\n" in told.strip() or len(told) > PARAGRAPH:
        return f"more than a paragraph: {told!r}"
    return ""


def one(seed: int, case: int, world: Path) -> list[Finding]:
    """Carries one case out; what it found."""
    from tests.fuzz import cases
    from tests.fuzz.world import copied, everything, half_made, inside, runs_of

    rng = random.Random(f"{seed} {case}")
    folder, done, found = copied(world, f"case-{case}"), "", []
    ids = [found.id for found in runs_of(folder)]
    if case % 2:
        lines = [cases.words(rng, folder)]
    else:
        path, how = cases.damage(rng, folder)
        done, lines = f"{path}: {how}", cases.readers(rng, path, ids)
    try:
        with inside(folder):
            for words in lines:
                _forget()
                before, halves = everything(folder), half_made(folder)
                code, err, escaped = run(words, rng.randbytes(8))
                broken = broken_law(code, err, escaped)
                if left := half_made(folder) - halves:
                    broken += f"\nhalf-made: {sorted(left)}"
                if code == 2 and words[0] not in ("study",) and (new := everything(folder) - before):
                    broken += f"\nleft behind by what was refused: {sorted(new)}"
                if broken:
                    found.append(Finding(case, words, done, broken))
    finally:
        cases.clean(folder)
    return found


def _forget() -> None:
    """As in a new process."""
    from harness.planning import plan

    plan._fingerprints.clear()
    plan._datasets.clear()


def fuzz(seed: int, folder: Path, seconds: float = 60, only: int | None = None) -> Iterator[Finding]:
    """Cases until the time is over, or the only one that is asked for."""
    from tests.fuzz.world import make

    world, end, case = make(folder / "world"), time.monotonic() + seconds, only or 0
    while time.monotonic() < end:
        (folder / "case").write_text(f"seed {seed}, case {case}")
        yield from one(seed, case, world)
        if only is not None:
            return
        case += 1
    print(f"{case} cases", file=sys.stderr)


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments.add_argument("--case", type=int)
    given = arguments.parse_args()
    faulthandler.enable()
    os.environ["HF_HUB_OFFLINE"] = "1"
    resource.setrlimit(resource.RLIMIT_AS, (16 * 2**30, resource.RLIM_INFINITY))  # what asks for too much is refused
    print(
        f"seed {given.seed}: python -m tests.fuzz.fuzz --seed {given.seed} --case K does a case again", file=sys.stderr
    )
    found, kinds = 0, set()
    with tempfile.TemporaryDirectory() as folder:
        for finding in fuzz(given.seed, Path(folder), given.seconds, given.case):
            found += 1
            kind = finding.broken.strip().splitlines()[-1][:40]
            if kind not in kinds:  # each kind is shown once
                print(f"\n{finding}", file=sys.stderr, flush=True)
            kinds.add(kind)
    print(f"{found} findings", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
