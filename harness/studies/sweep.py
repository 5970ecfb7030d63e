"""A sweep file and the runs it expands to.

::

    question: what the study asks
    base:     [overrides of every run]
    axes:     {key: [values]}          their product
    zip:      {key: [values]}          lists of one length, side by side
    variants: {name: [overrides]}      one condition each; the first is what the others are compared with
    best_of:  {key: [values]}          an axis that each condition is tuned over
    stages:   {name: {parents: {role: stage[@step] or a list of them}, base: …, axes: …, zip: …}}
    analyses: [name, or {name: …, option: …}]

A variant changes the base. Where it sets what an axis varies, it takes that axis' place, with several values too:
``again: [seed=100,101]`` is the base once more, from other seeds, and ``slow: [optimizer.lr=1e-4,2e-4]``, where
`best_of` has that key, is tuned over rates of its own.

Stages stand in order: what a stage starts from stands before it. A run of a stage starts from each run of its parent's
and has its values of axes and zip, too, but for those that the stage sets itself. `parents` may also be varied, as
``zip: {parents.continue: [trunk@400, trunk@800], …}``; a list under `parents` is an axis. The axes of the sweep are
those of the stages without a parent.

A stage with several parents has them from one chain: the first (in the order of the roles) is gone through run by run,
and another is the run of its stage that this one comes from, or else the one whose values are the same.

What a stage chooses by a group (`corpus=…`, `objective=…` or `alignment=…`) is its own altogether: of the sweep's base
and of its parent's values, that choice and all options of it (`corpus.path`, `method.beta`) do not reach it; and where
its base chooses, it does not hand values of such options down.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from harness.help import group_of
from harness.hookspecs import KINDS
from harness.registry import METHOD, METHODS

#: Key → value of one run.
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Overrides of all its runs, and what is varied."""

    name: str
    base: tuple[str, ...] = ()
    axes: dict[str, list[Any]] = field(default_factory=dict)
    zip: dict[str, list[Any]] = field(default_factory=dict)

    def sets(self) -> set[str]:
        """The keys that it sets."""
        return {key_of(override) for override in self.base} | self.axes.keys() | self.zip.keys()

    def rows(self) -> list[Row]:
        """Key → value of each run, in order: the product of the axes, times the zipped rows."""
        product = [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]
        zipped = [dict(zip(self.zip, values, strict=True)) for values in zip(*self.zip.values(), strict=True)] or [{}]
        return [{**one, **other} for one in product for other in zipped]


@dataclass(frozen=True, kw_only=True)
class Stage(Grid):
    """One stage of a sweep. parents: by role, the name of a stage before it, with a step or without."""

    parents: dict[str, str] = field(default_factory=dict)

    def is_own(self, key: str) -> bool:
        """Whether what others set at a key does not reach the stage: it sets that key, or chooses what has it."""
        return key in self.sets() or _chooses(self.sets(), key)

    def keeps(self, key: str) -> bool:
        """Whether a value of its runs is of no use to those that start from them, as an option of what only its base
        chooses."""
        return key.startswith("parents.") or _chooses({key_of(override) for override in self.base}, key)


def _chooses(keys: set[str], key: str) -> bool:
    """Whether some of the keys are a group of plugins that has another key, or are its equal."""
    chosen = [_place(group) for group in keys & {group_of(kind) for kind in KINDS}]
    return any(f"{_place(key)}.".startswith(f"{place}.") for place in chosen)


def key_of(override: str) -> str:
    """The key of an override as it is written."""
    return override.split("=")[0].lstrip("+~")


def _place(key: str) -> str:
    """Where in a run's config a key or a group stands: an objective and an alignment in one place."""
    return ".".join(METHOD if part in METHODS else part for part in key.split("/"))


@dataclass(frozen=True, kw_only=True)
class Sweep(Grid):
    """One sweep. variants: by name, the values that each sets in place of those of axes and base, by key. file: its
    path, for messages. text: the file as it was read."""

    question: str = ""
    variants: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    best_of: dict[str, list[Any]] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    analyses: tuple[Any, ...] = ()
    file: str = ""
    text: str = ""

    def where(self, variant: str = "") -> str:
        """Where something of it stands, for messages."""
        return (self.file or self.name) + (f", variant {variant}" if variant else "")

    def rows(self) -> list[Row]:
        return [row for _, row in self.named_rows()]

    def named_rows(self) -> list[tuple[str, Row]]:
        """The rows, each with the name of its variant; empty where there are none."""
        found = []
        for name, own in (self.variants or {"": {}}).items():
            side = {key: values for key, values in self.zip.items() if key not in own}
            grid = Grid(name=name, axes={**self.axes, **self.best_of, **own}, zip=side)
            found += [(name, row) for row in grid.rows()]
        return found
