"""harness plugins matrix: what goes with what, tried."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from harness.errors import UserError, suggest
from harness.registry import registry
from harness.results.show import render
from harness.verbs.arguments import flags

if TYPE_CHECKING:
    from harness.testing.matrix import Cell


def matrix(words: list[str]) -> int:
    """Prints every cell, and below them why pairings cannot be; 1 if one fails what it is held to."""
    import torch

    from harness.testing.matrix import FAILS, NO, kinds
    from harness.testing.matrix import matrix as cells_of

    given, rest = flags(words, ["--csv", "--json"])
    only = dict(_chosen(word, kinds()) for word in rest)
    start = time.perf_counter()
    torch.set_num_threads(1)  # what is so small is computed faster by one
    cells: list[Cell] = []
    for cell in cells_of(only):
        if not cells or cell.table != cells[-1].table:
            print(f"{cell.table} …", file=sys.stderr, flush=True)
        cells.append(cell)
    if not cells:
        raise UserError(f"{' '.join(rest)}: no cell of the matrix has all of these. Name one of them.")
    if given:
        rows = [{"table": cell.table, "of": _said(cell), "says": cell.says, "why": cell.why} for cell in cells]
        print(render(rows, "json" if "--json" in given else "csv"))
    else:
        print(shown(cells))
    failed, refused = (sum(cell.says == of for cell in cells) for of in (FAILS, NO))
    works, seconds = len(cells) - failed - refused, time.perf_counter() - start
    print(f"{works} work, {refused} cannot be, {failed} fail; {seconds:.0f} s.", file=sys.stderr)
    return 1 if failed else 0


def _chosen(word: str, kinds: Sequence[str]) -> tuple[str, str]:
    kind, equals, name = word.partition("=")
    if not equals and kind in kinds:
        raise UserError(f"{word} is a kind: say which of it. {suggest('', registry().names(kind))}")
    if not equals or kind not in kinds:
        raise UserError(f"{word} is not understood here: say kind=name. {suggest(kind, kinds)}")
    registry().get(kind, name)
    return kind, name


def _said(cell: Cell) -> str:
    return " ".join(f"{group}={name}" for group, name in cell.of.items())


def _note(cell: Cell) -> str:
    """A sentence that refuses says itself what it is about."""
    from harness.testing.matrix import FAILS

    return f"{_said(cell)}: {cell.why}" if cell.says == FAILS else cell.why


def shown(cells: Sequence[Cell]) -> str:
    """Tables for a terminal: a grid of what is paired with architectures, and a line for each architecture's parts;
    below them, numbered, what is wrong with what does not work."""
    from harness.testing.matrix import WORKS

    numbers: dict[str, int] = {}
    grids: dict[str, dict[str, dict[str, Any]]] = {}
    parts = []
    for table, own in groupby(cells, lambda cell: cell.table):
        of_table = list(own)
        for cell in of_table:
            if cell.says == WORKS:
                continue
            numbers.setdefault(_note(cell), len(numbers) + 1)
        if "architecture" in of_table[0].of:
            grids[table] = _grid(of_table, numbers)
        else:
            parts.append(_line(table, of_table))
    blocks = [render(list(grid.values())) for grid in grids.values()]
    blocks += [render(parts)] if parts else []
    blocks += ["\n".join(f"[{number}] {told}" for told, number in numbers.items())] if numbers else []
    return "\n\n".join(blocks)


def _grid(cells: Sequence[Cell], numbers: dict[str, int]) -> dict[str, dict[str, Any]]:
    """A row for each plugin, a column for each architecture."""
    from harness.testing.matrix import WORKS

    rows: dict[str, dict[str, Any]] = {}
    for cell in cells:
        (kind, name), (_, architecture) = cell.of.items()
        mark = cell.says if cell.says == WORKS else f"{cell.says} [{numbers[_note(cell)]}]"
        rows.setdefault(name, {kind: name})[architecture] = mark
    return rows


def _line(table: str, cells: Sequence[Cell]) -> dict[str, Any]:
    from harness.testing.matrix import FAILS, NO, WORKS

    counts = {of: sum(cell.says == of for cell in cells) for of in (WORKS, FAILS, NO)}
    return {
        "every pair of": table,
        "rows that work": counts[WORKS],
        "rows that fail": counts[FAILS],
        "pairs that cannot be": counts[NO],
    }
