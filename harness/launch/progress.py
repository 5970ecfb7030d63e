"""Around several runs: what they share, made once, and what a person sees while they train."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.planning.plan import Plan, dataset
from harness.results.status import last_metrics


class Watch:
    """Follows run directories from outside, by the last line of their metrics; a bar each on a terminal, else a
    line every `interval` seconds."""

    def __init__(self, plans: Sequence[Plan], runs: Path, interval: float = 15.0) -> None:
        self.plans = {plan.id: plan for plan in plans}
        self.runs, self.interval = runs, interval
        self.total = sum(plan.flops for plan in plans) or 1.0
        self.done: dict[str, float] = {}
        self.before: dict[str, float] = {}  #: what stood there when it was first looked at, from an earlier start
        self.started = self.said = time.monotonic()
        self.bars = _bars() if sys.stderr.isatty() else None
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Watch:
        if self.bars:
            self.bars.start()
            self.tasks[""] = self.bars.add_task(f"{len(self.plans)} runs", total=1.0, text="")
        return self

    def __exit__(self, *_: object) -> None:
        if self.bars:
            self.bars.stop()

    def tick(self, running: Sequence[str]) -> None:
        """Looks at what is running; called a few times a second."""
        rows = {name: last_metrics(self.runs / name)[0] for name in running}
        for name, row in rows.items():
            self.done[name] = row.get("step", 0) / self.plans[name].steps
            self.before.setdefault(name, self.done[name])
        for name in set(self.done) - set(running):
            self.done[name] = 1.0
        share = self._share(self.done)
        if self.bars:
            self._draw(rows, share)
        elif time.monotonic() - self.said > self.interval:
            self.said = time.monotonic()
            print(self._line(rows, share), file=sys.stderr, flush=True)

    def _draw(self, rows: dict[str, dict[str, Any]], share: float) -> None:
        assert self.bars is not None
        for name in [name for name in self.tasks if name and name not in rows]:
            self.bars.remove_task(self.tasks.pop(name))
        for name, row in rows.items():
            if name not in self.tasks:
                self.tasks[name] = self.bars.add_task(name, total=1.0, text="")
            self.bars.update(self.tasks[name], completed=self.done[name], text=_text(row))
        self.bars.update(self.tasks[""], completed=share, text=f"{self._ended(rows)} done, {self._left(share)}")

    def _line(self, rows: dict[str, dict[str, Any]], share: float) -> str:
        each = "; ".join(f"{name} {self.done[name]:.0%} {_text(row)}" for name, row in rows.items())
        return f"[{share:4.0%}] {self._ended(rows)}/{len(self.plans)} runs done, {self._left(share)} | {each}"

    def _ended(self, rows: dict[str, Any]) -> int:
        return len(self.done) - len(rows)

    def _share(self, done: dict[str, float]) -> float:
        """Of all the work, in FLOPs."""
        return sum(self.plans[name].flops * part for name, part in done.items()) / self.total

    def _left(self, share: float) -> str:
        worked = share - self._share(self.before)
        if worked < 0.01:
            return "time left unknown"
        left = (time.monotonic() - self.started) * (1 - share) / worked
        return f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left"


def _text(row: dict[str, Any]) -> str:
    if not row:
        return "starting"
    return (
        f"loss {row['loss']:.3f}, {row.get('tokens_per_second', 0) / 1000:.0f} k tokens/s, MFU {row.get('mfu', 0):.0%}"
    )


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(30), TaskProgressColumn(), TextColumn("{task.fields[text]}"))
    return Progress(*columns, console=Console(stderr=True), transient=True)


def make_ready(plans: Sequence[Plan]) -> None:
    """What several runs share is done once, before they are forked: their data, and imports that take seconds."""
    for plan in plans:
        dataset(plan.config, Tokenising())
    if plans:
        print("loading PyTorch and Lightning", file=sys.stderr, flush=True)
        import harness.training.fit
        import harness.training.train  # noqa: F401


class Tokenising:
    """A line that says how far the documents are tokenised; nothing where they lie in the cache or are few."""

    def __init__(self) -> None:
        self.every = 0.2 if sys.stderr.isatty() else 5.0
        self.said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.said > self.every:
            self.said = time.monotonic()
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"tokenising: {done:,} of {total:,} documents ", end=end, file=sys.stderr, flush=True)
