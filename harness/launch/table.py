"""The runs of a sweep as one table, drawn again and again on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: What may become of a run, in the order in which it is worth a line where there are too few for all.
STATES = ("training", "scoring", "failed", "stopped", "waiting", "done")
COLOURS = {"training": "cyan", "scoring": "magenta", "failed": "red", "stopped": "yellow", "done": "green"}

#: Lines of the terminal that are not a run's: the summary, the head, what is left out, the cursor's.
FRAME = 4
#: Columns of a terminal that has room for bars.
WIDE = 110
#: Letters of an id that every verb takes for the whole.
ENOUGH = 8


@dataclass
class Line:
    """One run. what: where it differs from the others. share: of its steps, 0 to 1. rate: tokens per second.
    left: seconds."""

    id: str
    what: str = ""
    state: str = "waiting"
    share: float = 0.0
    loss: float | None = None
    rate: float | None = None
    mfu: float | None = None
    left: float | None = None


class LiveTable:
    """Drawn by whoever calls `draw`, never by a thread, which the forks would not survive."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        # What is printed to stderr meanwhile appears above the table; stdout may lead elsewhere and is left alone.
        self.live = Live(console=Console(stderr=True), auto_refresh=False, transient=True, redirect_stdout=False)

    def draw(self, lines: Sequence[Line], summary: str) -> None:
        if not self.live.is_started:
            self.live.start()
        room = max(1, self.live.console.height - FRAME)
        shown, rest = cut(lines, room)
        self.live.update(_table(shown, summary, rest, bars=self.live.console.width >= WIDE), refresh=True)

    def stop(self) -> None:
        self.live.stop()


def cut(lines: Sequence[Line], room: int) -> tuple[list[Line], str]:
    """The lines that are worth the room, in their own order, and a word about the others."""
    if len(lines) <= room:
        return list(lines), ""
    by_worth = sorted(range(len(lines)), key=lambda i: STATES.index(lines[i].state))
    shown = sorted(by_worth[:room])
    others = [lines[i] for i in by_worth[room:]]
    return [lines[i] for i in shown], f"and {len(others)} more: {counts(others)}"


def counts(lines: Sequence[Line]) -> str:
    """
    >>> counts([Line("a", state="done"), Line("b"), Line("c", state="done")])
    '1 waiting, 2 done'
    """
    found = Counter(line.state for line in lines)
    return ", ".join(f"{found[state]} {state}" for state in STATES if found[state])


def _table(lines: Sequence[Line], summary: str, rest: str, bars: bool) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run", no_wrap=True)
    table.add_column()  # what gives way where the terminal is narrow
    table.add_column("state", no_wrap=True)
    if bars:
        table.add_column(width=12)
    for name in ("steps", "loss", "tokens/s", "MFU", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            line.id[:ENOUGH],
            Text(line.what, no_wrap=True, overflow="ellipsis"),
            Text(line.state, style=COLOURS.get(line.state, "dim")),
            *([ProgressBar(total=1.0, completed=line.share, width=12)] if bars else []),
            f"{line.share:.0%}",
            "" if line.loss is None else f"{line.loss:.3f}",
            "" if line.rate is None else f"{line.rate:,.0f}",
            "" if line.mfu is None else f"{line.mfu:.0%}",
            "" if line.left is None else span(line.left),
        )
    return Group(Text(summary, style="bold", no_wrap=True, overflow="ellipsis"), table, *([Text(rest)] if rest else []))


def span(seconds: float) -> str:
    """
    >>> span(50), span(600), span(9000)
    ('50 s', '10 min', '2.5 h')
    """
    if seconds <= 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
