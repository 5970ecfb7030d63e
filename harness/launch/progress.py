"""Around several runs: what they share, made once, and what a person sees while they train."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config import to_mapping
from harness.launch.table import Line, LiveTable, counts, span
from harness.planning.plan import Plan
from harness.results.status import last_metrics
from harness.results.varied import told_apart
from harness.rundir import RunDir

#: Seconds between two looks.
LOOK = 0.25


class Watch:
    """Follows run directories from outside, by the last line of their metrics; a table of all on a terminal, else a
    line every `interval` seconds. varied: what tells each run from the others, by id; None: what their configs do."""

    def __init__(
        self, plans: Sequence[Plan], runs: Path, interval: float = 15.0, varied: Mapping[str, str] | None = None
    ) -> None:
        self.plans = {plan.id: plan for plan in plans}
        self.runs, self.interval = runs, interval
        self.total = sum(plan.own_flops for plan in plans) or 1.0
        if varied is None:
            what = told_apart([to_mapping(plan.config) for plan in self.plans.values()])
            varied = dict(zip(self.plans, what, strict=True))
        self.lines = {name: Line(name, varied[name]) for name in self.plans}
        self.before: dict[str, float] = {}  #: what stood there when it was first looked at, from an earlier start
        self.started = self.said = time.monotonic()
        self.looked = float("-inf")
        self.table = LiveTable() if sys.stderr.isatty() else None

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self.table:
            self.table.stop()

    def tick(self, running: Sequence[str]) -> None:
        """Looks at what is running; called a few times a second."""
        for name in running:
            self.before.setdefault(name, self._share_of(last_metrics(self.runs / name)[0], name))
        if time.monotonic() - self.looked < LOOK:
            return
        self.looked = time.monotonic()
        for name in self.before:
            self._look(self.lines[name], name in running)
        if self.table:
            self.table.draw(list(self.lines.values()), self._summary())
        elif time.monotonic() - self.said > self.interval:
            self.said = time.monotonic()
            print(self._line(running), file=sys.stderr, flush=True)

    def _look(self, line: Line, running: bool) -> None:
        if not running and line.state not in ("waiting", "training", "scoring"):
            return  # its end has been seen
        row, state = last_metrics(self.runs / line.id)[0], RunDir(self.runs / line.id).state()
        line.share = self._share_of(row, line.id)
        line.loss, line.rate, line.mfu = row.get("loss"), row.get("tokens_per_second"), row.get("mfu")
        tokens = self.plans[line.id].own_tokens
        line.left = (1 - line.share) * tokens / line.rate if running and line.rate else None
        if running:
            line.state = "scoring" if state == "finished" else "training"
        else:
            line.state = {"finished": "done", "interrupted": "stopped"}.get(state, "failed")

    def _share_of(self, row: dict[str, Any], name: str) -> float:
        """Of the run's own steps."""
        plan = self.plans[name]
        if not plan.own_steps:  # it is not trained
            return 0.0
        continued = plan.steps - plan.own_steps
        return float(row.get("step", continued) - continued) / plan.own_steps

    def _summary(self) -> str:
        share, lines = self._share(), list(self.lines.values())
        return f"{len(lines)} runs: {counts(lines)}; {share:.0%} of the work, {self._left(share)}"

    def _line(self, running: Sequence[str]) -> str:
        lines, share = [self.lines[name] for name in running], self._share()
        each = "; ".join(
            f"{' '.join(filter(None, (line.id, line.what)))} {line.share:.0%} {_text(line)}" for line in lines
        )
        ended = len(self.before) - len(lines)
        return f"[{share:4.0%}] {ended}/{len(self.plans)} runs done, {self._left(share)} | {each}"

    def _share(self) -> float:
        """Of all the work, in FLOPs; what has ended, however it did, is no work any more."""
        part = {line.id: line.share if line.state in ("waiting", "training") else 1.0 for line in self.lines.values()}
        return sum(plan.own_flops * part[plan.id] for plan in self.plans.values()) / self.total

    def _left(self, share: float) -> str:
        worked = share - sum(self.plans[name].own_flops * part for name, part in self.before.items()) / self.total
        if worked < 0.01:
            return "time left unknown"
        return f"{span((time.monotonic() - self.started) * (1 - share) / worked)} left"


def _text(line: Line) -> str:
    if line.loss is None:
        return "starting"
    return f"loss {line.loss:.3f}, {(line.rate or 0) / 1000:.0f} k tokens/s, MFU {line.mfu or 0:.0%}"


def make_ready(plans: Sequence[Plan]) -> None:
    """What several runs share is done once, before they are forked: their data, and imports that take seconds."""
    for plan in plans:
        plan.dataset(Tokenising())
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
