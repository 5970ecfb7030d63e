"""What every tracker promises: it takes every kind of row, and touches nothing of the run's own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from harness.files import checksum
from harness.rundir import RunDir
from harness.testing.check import sound

#: Rows of metrics.jsonl of every kind: losses, events with numbers and texts, steps that repeat after a restart.
ROWS: tuple[dict[str, Any], ...] = (
    {"step": 1, "loss": 3.5, "lr": 0.001, "tokens_per_second": 1000.0},
    {"step": 2, "loss": float("nan")},
    {"step": 2, "event": "norms", "grad_norms": {"head": 0.5, "body.blocks.0": 0.1}},
    {"step": 2, "event": "sample", "prompt": "It", "text": " was\n\U0001f44d"},
    {"step": 2, "loss": 3.4, "note": None},
    {"step": 4, "loss": 3.0},
)
RESULT = {"held_out_loss": 3.1, "tokens": 4096, "peak_source": "measured"}


def tracks_wrongly(config: Any, attempts: int = 2) -> str | None:
    """Whether it fails on a row, or changes a file that is the run's. The run is started `attempts` times, and ends
    once badly before it ends well."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder) / "runs" / "abc123")
        run.path.mkdir(parents=True)
        for name in ("metrics.jsonl", "manifest.json", "config.yaml"):
            (run.path / name).write_text("{}\n")
        before = {path: checksum(path) for path in run.path.iterdir()}
        for attempt in range(attempts):
            tracker = config.build(run, {"seed": 3, "architecture": {"name": "transformer"}})
            for row in ROWS:
                given = dict(row)
                try:
                    tracker.log(given)
                except Exception as error:
                    return f"It fails on the row {row}: {type(error).__name__}: {error}"
                if repr(given) != repr(row):
                    return f"It changes the row that it is given, {row}."
            tracker.close(RESULT if attempt == attempts - 1 else None)
        for path, content in before.items():
            if not path.exists() or checksum(path) != content:
                return f"It changes the run's own file {path.name}."
    return None


class TrackerKit:
    """Subclass it and give `config`, a `TrackerConfig` that works without a network.

    class TestMine(TrackerKit):
        config = MyConfig(name="mine")
    """

    config: ClassVar[Any]

    def test_it_takes_every_row_and_leaves_the_run_as_it_is(self) -> None:
        sound(tracks_wrongly(self.config))
