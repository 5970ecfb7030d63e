"""What a person sees while models are scored: a bar on a terminal, else a line for each model."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """Counts models, in parts. quiet: shows nothing."""

    def __init__(self, models: int, quiet: bool) -> None:
        self.models, self.quiet = models, quiet or not models
        self.done = 0
        self.part = 0.0
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = TextColumn("scoring"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.bar.start()
            self.bar.add_task("", total=self.models)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def say(self, text: str) -> None:
        if self.bar:
            self.bar.update(0, description=text)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def advance(self, share: float) -> None:
        """A share of the present model's requests has been answered."""
        self.part = min(self.part + share, 1.0)
        if self.bar:
            self.bar.update(0, completed=self.done + self.part)

    def finished(self, run: str) -> None:
        self.done, self.part = self.done + 1, 0.0
        if self.bar:
            self.bar.update(0, completed=self.done)
        self.say(f"{self.done} of {self.models} models scored ({run})")
