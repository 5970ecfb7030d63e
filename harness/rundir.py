"""A run's directory: complete in itself, written beside and renamed, checksummed, never unpickled.

::

    runs/<id>/
      config.json     the composed, resolved config
      manifest.json   identity, versions, fingerprint, parameters, tokens, FLOPs, state and result
      metrics.jsonl   one line every few steps
      tokenizer/      a copy of the tokenizer
      checkpoints/step-00000120/   model.safetensors, optimizer.safetensors, *.json, checksums.json
      scores.json     score rows
      samples/        sample-level outputs, one Parquet file for each task and checkpoint
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError

CHECKSUMS = "checksums.json"


def write_atomic(path: Path, content: bytes | str) -> None:
    """The file is there whole or not at all, also after a crash."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises UserError, naming the file, where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None


def _read_mapping(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path} cannot be read: it holds {type(value).__name__} where a JSON object should be.")
    return value


def checksum(path: Path) -> str:
    """BLAKE2b of a file's content, 128 bits, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@contextlib.contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """A folder to fill beside `final`; at the end its files are checksummed and it is renamed into place.

    A crash leaves only a hidden folder that nobody reads. If another process was faster, its folder stays.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}-"))
    try:
        yield beside
        files = sorted(str(f.relative_to(beside)) for f in beside.rglob("*") if f.is_file())
        write_json(beside / CHECKSUMS, {name: checksum(beside / name) for name in files})
        for name in files:
            _sync(beside / name)
        beside.chmod(0o755)
        try:
            beside.rename(final)
        except OSError:
            if not is_whole(final):
                raise
        _sync(final.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_whole(folder: Path) -> bool:
    """Whether every file of a folder made by `new_folder` is there with the content it had."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_text())
        return bool(sums) and all(checksum(folder / name) == digest for name, digest in sums.items())
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Holds an advisory lock on a file for as long as the block runs; others wait, and say so if told what to say.
    The system lets go of it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class RunDir:
    """The directory of one run."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    def exists(self) -> bool:
        return (self.path / "manifest.json").is_file()

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Only one process at a time carries a run out; another one waits here."""
        return locked(
            self.path.parent / ".locks" / self.id, f"{self.id}: another process is at it; waiting for its end"
        )

    def in_hand(self) -> bool:
        """Whether a process is carrying it out now, as far as the file system's locks reach."""
        try:
            with open(self.path.parent / ".locks" / self.id) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def manifest(self) -> dict[str, Any]:
        return _read_mapping(self.path / "manifest.json")

    def update_manifest(self, **values: Any) -> None:
        now = self.manifest() if self.exists() else {}
        write_json(self.path / "manifest.json", {**now, **values})

    def config(self) -> dict[str, Any]:
        return _read_mapping(self.path / "config.json")

    def state(self) -> str:
        """new, running, finished, failed or interrupted, as last written."""
        return str(self.manifest().get("state", "new")) if self.exists() else "new"

    # ------------------------------------------------------------------------------------ metrics

    def append_metrics(self, rows: Iterable[dict[str, Any]]) -> None:
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def metrics(self) -> list[dict[str, Any]]:
        """All whole lines; a line cut short by a crash is passed over."""
        try:
            lines = (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        rows = []
        for line in lines:
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
        return rows

    def forget_metrics_after(self, step: int) -> None:
        """Drops lines of steps that will be done again."""
        kept = [row for row in self.metrics() if row["step"] <= step]
        write_atomic(self.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))

    # -------------------------------------------------------------------------------- checkpoints

    def checkpoint(self, step: int) -> Path:
        return self.path / "checkpoints" / f"step-{step:08d}"

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Steps and folders of the checkpoints, oldest first, whole or not."""
        folders = sorted((self.path / "checkpoints").glob(f"step-{'[0-9]' * 8}"))
        return [(int(folder.name.removeprefix("step-")), folder) for folder in folders]

    def last_whole_checkpoint(self) -> tuple[int, Path] | None:
        """The newest checkpoint whose checksums hold."""
        return next(((step, folder) for step, folder in reversed(self.checkpoints()) if is_whole(folder)), None)

    # ------------------------------------------------------------------------------------- scores

    def scores(self) -> list[dict[str, Any]]:
        """Rows: run, checkpoint (step), suite, task, metric, value, stderr, n, likelihood."""
        path = self.path / "scores.json"
        return list(read_json(path)) if path.exists() else []

    def add_scores(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows; one for the same checkpoint, task and metric takes the older one's place."""
        with locked(self.path / ".scores.lock"):
            kept = {(r["checkpoint"], r["task"], r["metric"]): r for r in self.scores()}
            kept |= {(r["checkpoint"], r["task"], r["metric"]): r for r in rows}
            write_json(self.path / "scores.json", list(kept.values()))


def open_run(run: str, runs: str) -> RunDir:
    """The run named by a folder, an id, or the beginning of an id that no other run shares."""
    if (Path(run) / "manifest.json").is_file():
        return RunDir(Path(run))
    folders = sorted(Path(runs).iterdir()) if run and Path(runs).is_dir() else []
    found = [p for p in folders if p.name.startswith(run) and (p / "manifest.json").is_file()]
    if len(found) == 1 or (found and found[0].name == run):
        return RunDir(found[0])
    if found:
        raise UserError(f"run={run} could be {', '.join(p.name for p in found[:5])}. Give more of the id.")
    raise UserError(f"There is no run {run} in {runs}. Give an id from `harness status`, or a run's folder.")


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/harness``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "harness"
