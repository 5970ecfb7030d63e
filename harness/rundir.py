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
      .attempt/       only while it is carried out: `harness.lease`
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import operator
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from harness.errors import UserError
from harness.files import (
    is_whole,
    locked,
    new_folder,
    read_json,
    read_mapping,
    rename_folder,
    seal,
    sync,
    write_atomic,
)
from harness.lease import Lease, take

#: What every row of scores has, and of which types.
SCORE: dict[str, Any] = {
    **dict.fromkeys(("run", "suite", "task", "metric", "likelihood"), str),
    "checkpoint": int,
    "value": (int, float),
    "stderr": (int, float, NoneType),
    "n": int,
}
#: The states that a run's attempt can end in by its own word; "killed" is said of it by the next one.
ENDS = ("finished", "failed", "interrupted")


@dataclass(frozen=True)
class RunDir:
    """The directory of one run. held: the lease, where this process carries the run out; then all that is written
    is written in the attempt's folder and renamed out of it, and raises LeaseLost once another has taken the run over.
    Children forked by the holder may write with it, too."""

    path: Path
    held: Lease | None = field(default=None, compare=False, repr=False)

    @property
    def id(self) -> str:
        return self.path.name

    def exists(self) -> bool:
        return (self.path / "manifest.json").is_file()

    @contextlib.contextmanager
    def lease(self) -> Iterator[RunDir]:
        """Only one process at a time carries a run out; another one says who does, and waits here for the end."""
        lease = take(self.path)
        try:
            held = RunDir(self.path, lease)
            if lease.before and held.exists():
                held.update_manifest()  # how far the other came is known only now
            yield held
        finally:
            lease.release(keep=not held._end_is_told())

    # ------------------------------------------------------------------------------------ writing

    def write(self, name: str, content: str) -> None:
        """A file of the directory: there whole or not at all."""
        if self.held is None:
            write_atomic(self.path / name, content)
            return
        with self.held.fenced() as folder:
            (folder / name).write_text(content, encoding="utf-8")
            sync(folder / name)
            (folder / name).rename(self.path / name)

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def stage(self, name: str) -> Path:
        """A folder of that name in the attempt's, for one or several processes to fill; `publish` puts it in place."""
        assert self.held is not None
        with self.held.fenced() as folder:
            (folder / name).mkdir(exist_ok=True)
            return folder / name

    def publish(self, staged: Path, final: Path, checksums: Mapping[str, str] | None = None) -> None:
        """Checksums a staged folder, brings it to the disk and renames it into place. checksums: by file name, of
        those files whose checksums are known already. A damaged folder in its place gives way; a whole one stays.
        Raises LeaseLost."""
        assert self.held is not None
        with self.held.fenced():
            seal(staged, checksums)
            final.parent.mkdir(exist_ok=True)
            if final.exists() and not is_whole(final):
                self.remove(final)
            self.held.check()
            rename_folder(staged, final)
        shutil.rmtree(staged, ignore_errors=True)

    @contextlib.contextmanager
    def new_folder(self, final: Path) -> Iterator[Path]:
        """A folder for one process to fill, which is then put in place; nothing of it stays where that fails."""
        if self.held is None:
            with new_folder(final) as beside:
                yield beside
            return
        staged = self.stage(final.name)
        try:
            with self.held.fenced():
                yield staged
            self.publish(staged, final)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def remove(self, folder: Path) -> None:
        """Removes a folder of the directory, such as a checkpoint, if it is there. Raises LeaseLost."""
        if self.held is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        with self.held.fenced() as attempt, contextlib.suppress(FileNotFoundError):
            gone = next(p for k in itertools.count() if not (p := attempt / f"{folder.name}-removed-{k}").exists())
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def move_aside(self) -> None:
        """To ``runs/.aside/<id>-<k>``, where no table looks for it; the lease goes on over an empty directory."""
        assert self.held is not None
        folder = self.path.parent / ".aside"
        folder.mkdir(exist_ok=True)
        self.held.move_aside(next(p for k in itertools.count(1) if not (p := folder / f"{self.id}-{k}").exists()))

    def at_step(self, step: int) -> None:
        """Says that so many optimizer steps are done; the first word of an attempt is the step it begins at."""
        if self.held:
            self.held.at_step(step)

    # ----------------------------------------------------------------------- manifest and config

    def manifest(self) -> dict[str, Any]:
        """What is said of the run. Raises UserError where it is not what was written."""
        path = self.path / "manifest.json"
        found = read_mapping(path)
        told = found.pop("checksum", None)
        if told not in (None, _digest(found)):
            raise UserError(f"{path} is damaged: its checksum does not hold. retrain=true makes the run anew.")
        return found

    def update_manifest(self, **values: Any) -> None:
        """Sets values. With a lease the attempts are told, too: a list of token, host, pid, from_step, to_step and
        how each ended, of all that took a step; sum of to_step − from_step: the optimizer steps that were taken, but
        for those that a rollback took back."""
        new = {**(self.manifest() if self.exists() else {}), **values}
        if self.held:
            new["attempts"] = self._attempts(new.get("attempts", []), new.get("state"))
        self.write_json("manifest.json", {**new, "checksum": _digest(new)})

    def _end_is_told(self) -> bool:
        """Whether the manifest has the end of this attempt; it has not where it could not be written."""
        assert self.held is not None
        own = self.held.holder()
        if own.step is None or not self.exists():
            return True
        with contextlib.suppress(UserError):
            return any(one["token"] == own.token and one["ended"] for one in self.manifest().get("attempts", []))
        return True

    def _attempts(self, told: list[dict[str, Any]], state: Any) -> list[dict[str, Any]]:
        assert self.held is not None
        before, own = self.held.before, self.held.holder()
        kept = {entry["token"]: {**entry, "ended": entry["ended"] or "killed"} for entry in told}
        if before and before.step is not None and kept.get(before.token, {"ended": "killed"})["ended"] == "killed":
            kept[before.token] = before.attempt("killed")
        kept.pop(own.token, None)
        if own.step is not None:
            kept[own.token] = own.attempt(state if state in ENDS else None)
        return list(kept.values())

    def config(self) -> dict[str, Any]:
        return read_mapping(self.path / "config.json")

    def state(self) -> str:
        """new, running, finished, failed or interrupted, as last written."""
        return str(self.manifest().get("state", "new")) if self.exists() else "new"

    # ------------------------------------------------------------------------------------ metrics

    def append_metrics(self, rows: Iterable[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if self.held is None:
            with open(self.path / "metrics.jsonl", "ab") as file:
                file.write(lines)
            return
        if self.held.metrics is None:
            self.forget_metrics_after(math.inf)
        with self.held.fenced():
            assert self.held.metrics is not None
            self.held.metrics.write(lines)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of the loss."""
        return [row for row in self._rows() if "event" not in row]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """What was found beside it, such as spikes, norms, validations and samples: all, or those of one kind."""
        return [row for row in self._rows() if "event" in row and kind in ("", row["event"])]

    def _rows(self) -> list[dict[str, Any]]:
        """All whole lines; one cut short by a crash, or damaged, is passed over."""
        try:
            lines = (self.path / "metrics.jsonl").read_bytes().splitlines()
        except OSError:
            return []
        rows = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                rows.append(json.loads(line))
        return [row for row in rows if isinstance(row, dict) and isinstance(row.get("step"), int)]

    def forget_metrics_after(self, step: float) -> None:
        """Drops lines of steps that will be done again.

        With a lease the file is always made anew and kept open: what a holder of old still adds goes to a file
        that has no name any more.
        """
        kept = "".join(json.dumps(row) + "\n" for row in self._rows() if row["step"] <= step)
        if self.held is None:
            write_atomic(self.path / "metrics.jsonl", kept)
            return
        with self.held.fenced() as folder:
            file = open(folder / "metrics.jsonl", "wb", buffering=0)  # noqa: SIM115 - closed with the lease
            file.write(kept.encode())
            os.fsync(file.fileno())
            os.rename(file.name, self.path / "metrics.jsonl")
            if self.held.metrics:
                self.held.metrics.close()
            self.held.metrics = file

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

    def result_step(self) -> int | None:
        """The step of the newest whole checkpoint; None where there is none. Raises UserError where the run went on
        from there to an end that is missing or damaged: what lies before its end is another model than its result."""
        last = self.last_whole_checkpoint()
        end = self.manifest().get("result", {}).get("steps", 0) if self.state() == "finished" else 0
        if last and last[0] < end:
            raise UserError(
                f"Run {self.id} ended at step {end}, but its checkpoint there is missing or damaged; the newest whole "
                f"one is that of step {last[0]}. Ask for it by its step, or train the run again by retrain=true."
            )
        return last[0] if last else None

    # ------------------------------------------------------------------------------------- scores

    def scores(self) -> list[dict[str, Any]]:
        """Rows: run, checkpoint (step), suite, task, metric, value, stderr, n, likelihood. Raises UserError where they
        are damaged."""
        path = self.path / "scores.json"
        found = read_json(path) if path.exists() else []
        if not (isinstance(found, list) and all(map(_is_score, found))):
            raise UserError(f"{path} is damaged: it does not hold rows of scores. Remove it, and score the run again.")
        return found

    def add_scores(self, rows: list[dict[str, Any]]) -> None:
        """Adds rows; one for the same checkpoint, suite, task and metric takes the older one's place."""
        with locked(self.path / ".scores.lock"):
            of = operator.itemgetter("checkpoint", "suite", "task", "metric")
            kept = {of(row): row for row in [*self.scores(), *rows]}
            self.write_json("scores.json", list(kept.values()))


def _digest(value: dict[str, Any]) -> str:
    """BLAKE2b of a mapping, 64 bits: the same before it is written as JSON and after it is read."""
    same = json.loads(json.dumps(value))
    return hashlib.blake2b(json.dumps(same, sort_keys=True).encode(), digest_size=8).hexdigest()


def _is_score(row: Any) -> bool:
    return isinstance(row, dict) and all(key in row and isinstance(row[key], SCORE[key]) for key in SCORE)


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
