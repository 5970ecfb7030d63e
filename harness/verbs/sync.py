"""harness sync: what runs have written, into a tracker, after the fact."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.cli import Verb
from harness.errors import RunFailed, UserError
from harness.help import verb_help
from harness.interfaces.tracker import TrackerConfig
from harness.schema import SyncConfig
from harness.verbs.arguments import asks_help
from harness.verbs.under_hydra import Task, apart, carry_out

if TYPE_CHECKING:
    from harness.rundir import RunDir


def sync(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, SyncConfig, only=("tracker",), words=words))
        return 0
    for_hydra, words = apart(words)
    names = [word for word in words if "=" not in word and not word.startswith("-")]
    if not names and not for_hydra:
        raise UserError("This verb needs runs, by id or folder: harness sync <run> <run> … tracker=<name>.")
    return carry_out(
        [*(word for word in words if word not in names), *for_hydra],
        Task("sync", lambda config: _sync_all(config, names)),
    )


def _sync_all(config: SyncConfig, names: list[str]) -> None:
    from harness.rundir import open_run

    config.tracker.require()
    runs = [open_run(name, config.runs) for name in names]
    for run in runs:
        rows = replay(run, config.tracker)
        print(f"{run.id}: {rows} rows sent to {config.tracker.name}", file=sys.stderr)


def replay(run: RunDir, config: TrackerConfig) -> int:
    """Sends a run's config, rows and result as its training would have; returns how many rows. Raises RunFailed."""
    rows = [*run.metrics(), *run.events()]
    rows.sort(key=lambda row: row["step"])  # stable: a step's own row comes before what was found beside it
    result = run.manifest()["result"] if run.state() == "finished" else None
    try:
        tracker = config.build(run, run.config())
        for row in rows:
            tracker.log(row)
        tracker.close(result)
    except Exception as error:
        raise RunFailed(f"tracker={config.name}: {error}") from error
    return len(rows)
