"""What lies under a folder of runs, or in the cache, that nothing needs any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files import cache_folder, is_whole
from harness.lease import ATTEMPT, LEASES, alive
from harness.rundir import RunDir


@dataclass(frozen=True)
class Garbage:
    """bytes: on the disk. reason: why it can go. run: the run that it is part of, which is held while it goes."""

    path: Path
    bytes: int
    reason: str
    run: RunDir | None = None


def find(runs: Path, *, checkpoints: bool = False, cache: bool = False) -> list[Garbage]:
    """What can go: what killed attempts left, damaged checkpoints that a whole one outlives, runs moved aside.

    checkpoints: also all but the last of finished runs, except those that other runs name as their parents.
    cache: also what is kept between runs, which is made again when a run needs it.

    The last whole checkpoint of a run is never among it, nor anything of a run that is carried out now.
    """
    folders = sorted(path for path in runs.iterdir() if path.is_dir() and not path.name.startswith("."))
    living = alive(folders)
    resting = [RunDir(folder) for folder in folders if folder not in living]
    parents = _parents(RunDir(folder) for folder in folders) if checkpoints else set()
    found: list[Garbage] = []
    for run in resting:
        found += [_sized(path, "left by a killed attempt", run) for path in _remains(run)]
        found += _of_checkpoints(run, checkpoints, parents)
    names = {folder.name for folder in living}
    for path in sorted((runs / LEASES).glob("*-*")):
        if path.name.rpartition("-")[0] not in names and path.is_dir():
            found.append(_sized(path, "left by a killed attempt"))
    found += [_sized(path, "moved aside by retrain=true") for path in sorted((runs / ".aside").glob("*"))]
    if cache:
        found += [_sized(path, "made again when a run needs it") for path in sorted(cache_folder().glob("*/*"))]
    return found


def remove(found: Garbage) -> None:
    """Takes it away; where it is part of a run, under the run's lease."""
    if found.run is None:
        _remove(found.path)
        return
    with found.run.lease():  # whose beginning clears away what a killed attempt left
        _remove(found.path)


def _remove(path: Path) -> None:
    if path.name == ATTEMPT:
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remains(run: RunDir) -> Iterator[Path]:
    """The attempt of a killed process, and files and folders on their way, which begin with a dot and end at random."""
    if (run.path / ATTEMPT).is_dir():
        yield run.path / ATTEMPT
    for pattern in (".*-*", "*/.*-*"):
        yield from sorted(path for path in run.path.glob(pattern) if ATTEMPT not in path.parts)


def _of_checkpoints(run: RunDir, superseded: bool, parents: set[str]) -> Iterator[Garbage]:
    last = run.last_whole_checkpoint()
    for step, folder in run.checkpoints():
        if last is None or step == last[0]:
            continue
        if not is_whole(folder):
            yield _sized(folder, "damaged", run)
        elif superseded and f"{run.id}@{step}" not in parents and _is_finished(run):
            yield _sized(folder, f"the run is finished and has its checkpoint of step {last[0]}", run)


def _is_finished(run: RunDir) -> bool:
    try:
        return run.state() == "finished"
    except UserError:
        return False


def _parents(runs: Iterator[RunDir]) -> set[str]:
    """``<id>@<step>`` of what some run started from."""
    named: set[str] = set()
    for run in runs:
        try:
            parents = run.manifest().get("identity", {}).get("parents", {})
        except UserError:
            continue
        named |= {str(parent) for parent in parents.values()}
    return named


def _sized(path: Path, reason: str, run: RunDir | None = None) -> Garbage:
    files = path.rglob("*") if path.is_dir() else [path]
    return Garbage(path, sum(file.lstat().st_size for file in files if file.is_file()), reason, run)
