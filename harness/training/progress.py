"""Progress on stderr: a bar where there is a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

#: Seconds between two lines where stderr is no terminal.
LINE_EVERY = 10.0
#: So much of what a method tells stands beside the loss.
MOST_TOLD = 2


class Progress:
    """Loss, tokens per second, MFU and time left of one run, and the first that its method tells. `shown=False` shows
    nothing (a child process)."""

    def __init__(self, name: str, steps: int, shown: bool = True) -> None:
        self.name, self.steps, self.shown = name, steps, shown
        self.told: Sequence[str] = ()  #: the names of what the method tells, in its order
        self._bar: Any = None
        self._task: Any = None
        self._first: tuple[float, int] | None = None
        self._line_at = 0.0

    def __enter__(self) -> Progress:
        if self.shown and sys.stderr.isatty():
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=self.steps, figures="", told="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        elif self.shown:
            print(text, file=sys.stderr, flush=True)

    def count(self, what: str, done: int, total: int) -> None:
        """How much is done of something that comes before the steps: at the beginning, now and then, at the end."""
        now = time.monotonic()
        if done in (0, total) or now - self._line_at >= LINE_EVERY:
            self._line_at = now
            self.say(f"{self.name}: {what}, {done} of {total}")

    def show(self, row: dict[str, Any]) -> None:
        """A new row of metrics."""
        if not self.shown:
            return
        loss, rate = f"loss {row['loss']:.3f}", f"{_short(row['tokens_per_second'])} tokens/s, MFU {row['mfu']:.0%}"
        told = [f"{name.replace('_', ' ')} {row[name]:.3g}" for name in self.told[:MOST_TOLD]]
        if self._bar is not None:
            self._bar.update(self._task, completed=row["step"], figures=f"{loss}, {rate}", told=", ".join(told))
            return
        figures = ", ".join([loss, *told, rate])
        now = time.monotonic()
        self._first = self._first or (now, row["step"])
        if row["step"] == self.steps or now - self._line_at >= LINE_EVERY:
            self._line_at = now
            self.say(f"{self.name}: step {row['step']} of {self.steps}, {figures}{self._left(now, row['step'])}")

    def _left(self, now: float, step: int) -> str:
        assert self._first is not None
        since, first = self._first
        if step <= first:  # rolled back
            return ""
        return f", {(self.steps - step) * (now - since) / (step - first):.0f} s left"


def _bar() -> Any:
    """With a line below it for what is told: beside the rest it would not fit into 80 columns."""
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Bar(Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            yield from super().get_renderables()
            yield from (Text(f"  {task.fields['told']}") for task in self.tasks if task.fields["told"])

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"), TimeRemainingColumn(),
    )  # fmt: skip
    return Bar(*columns, console=Console(stderr=True), refresh_per_second=4)


def _short(number: float) -> str:
    """A number as people say it.

    >>> _short(140_300.0), _short(950.0), _short(2_300_000.0)
    ('140 k', '950', '2.3 M')
    """
    if number < 1000:
        return f"{number:.0f}"
    return f"{number / 1e3:.0f} k" if number < 1e6 else f"{number / 1e6:.1f} M"
