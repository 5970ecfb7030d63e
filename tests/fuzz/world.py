"""A folder with one of everything that a verb reads: runs with scores, a study, a sweep, a corpus, a table."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.cli import main
from harness.rundir import RunDir
from harness.scoring.samples import write_samples

#: A run that trains in a blink.
TINY = (
    "experiment=tiny", "tokenizer=bytes", "corpus=text", "corpus.path=corpus", "architecture.width=16",
    "architecture.layers=1", "data.sequence_length=32", "data.batch_size=2", "budget.tokens=256", "suite=null",
    "trainer.checkpoints=2", "trainer.accelerator=cpu",
)  # fmt: skip


def make(folder: Path) -> Path:
    """Fills a folder. It is copied for each case that changes anything."""
    (folder / "corpus").mkdir(parents=True)
    rows = [json.dumps({"text": f"document {i} " * (i % 9 + 5)}) + "\n" for i in range(30)]
    (folder / "corpus" / "a.txt").write_text("a text of its own, é\n" * 20)
    (folder / "corpus" / "rows.jsonl").write_text("".join(rows[:15]))
    (folder / "corpus" / "more.jsonl.gz").write_bytes(gzip.compress("".join(rows[15:]).encode()))
    law = ((n, d, 1.7 + 400 / n**0.3 + 400 / d**0.3) for n in (1e5, 1e6, 1e7) for d in (1e7, 1e8, 1e9))
    (folder / "table.csv").write_text("N,D,loss\n" + "".join(f"{n:.0f},{d:.0f},{loss}\n" for n, d, loss in law))
    (folder / "sweeps").mkdir()
    listed = "".join(f"  - {word}\n" for word in TINY)
    (folder / "sweeps" / "own.yaml").write_text(f"question: any?\nbase:\n{listed}axes: {{seed: [0, 1]}}\n")
    with inside(folder):
        assert main(["study", "own", "launcher.workers=1"]) == 0
    for run in runs_of(folder):
        _score(run)
    return folder


def runs_of(folder: Path) -> list[RunDir]:
    return [RunDir(path.parent) for path in sorted(folder.glob("runs/*/manifest.json"))]


def _score(run: RunDir) -> None:
    row = {
        "run": run.id,
        "checkpoint": 4,
        "suite": "quizzes",
        "task": "quiz",
        "metric": "acc",
        "value": 0.5,
        "stderr": 0.3,
    }
    run.add_scores([{**row, "n": 4, "likelihood": "causal", "settings": "x", "together": 1}])
    blank = {"filter": "none", "prompt": "?", "target": "!", "responses": [], "choices": [], "log_likelihoods": []}
    write_samples(run, "quizzes", "quiz", 4, [{"document": i, **blank, "metric.acc": float(i % 2)} for i in range(4)])


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Works in a folder, with a cache beside it, quietly and without a network."""
    before, cache = Path.cwd(), os.environ.get("XDG_CACHE_HOME")
    os.chdir(folder)
    os.environ["XDG_CACHE_HOME"] = str(folder.parent / "cache")
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        os.chdir(before)
        if cache is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = cache


def copied(world: Path, name: str) -> Path:
    return Path(shutil.copytree(world, world.parent / name))


def half_made(folder: Path) -> set[str]:
    """What nobody should find: run directories without a manifest, hidden folders and files that were to be renamed."""
    places = [folder, folder.parent / "cache"]
    hidden = {path for place in places for path in place.rglob(".*-*") if ".aside" not in path.parts}
    folders = {path for path in (folder / "runs").glob("[!.]*") if not (path / "manifest.json").exists()}
    return {str(path) for path in hidden | folders}


def everything(folder: Path) -> set[str]:
    """Every path in a folder, but for the locks, which may stay."""
    return {str(path) for path in folder.rglob("*") if ".locks" not in path.parts and path.suffix != ".lock"}
