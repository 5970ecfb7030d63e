"""Curricula: sequences that begin short, steps that begin small, sources that change, easy before hard; in closed form.

A run has stages; the last one is what `data` and the corpus say without a curriculum. One of short sequences shows each
place of the stream in pieces, one of small batches takes fewer places in a step; neither moves what stands at a place.
What sources weigh and what is easy do, from the first place of a stage on.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.interfaces.batch import Sequences
from harness.schema import DataConfig, RunConfig

#: Steps of a run that is long enough for its stages to have no rounding.
MANY = 10**9


@dataclass(frozen=True)
class Stage:
    """The steps from `first` on, which take the stream's places from `place` on. easiest: the share of each source's
    sequences that is drawn from. sources: weights by name; None: the corpus' own."""

    first: int
    place: int
    batch_size: int
    sequence_length: int
    easiest: float = 1.0
    sources: Mapping[str, float] | None = None


def stages(data: DataConfig, steps: int) -> list[Stage]:
    """Those of a run of so many steps, in order; what comes behind its last step belongs to the last. One that has no
    whole step is left out."""
    last = {"batch_size": data.batch_size, "sequence_length": data.sequence_length, "easiest": 1.0, "sources": None}
    told = {name: getattr(data.curriculum, name) for name in last}
    ends = {name: [math.ceil(share * steps - 1e-9) for share, _ in of] for name, of in told.items()}
    found: list[Stage] = []
    for first in sorted({0}.union(*ends.values())):
        now: dict[str, Any] = {
            name: [*(value for _, value in of), last[name]][bisect.bisect_right(ends[name], first)]
            for name, of in told.items()
        }
        sizes = int(now.pop("batch_size")), int(now.pop("sequence_length"))
        found.append(Stage(first, places(found, first), *sizes, **now))
    return found


def changes(stages: Sequence[Stage], name: str) -> list[tuple[int, Any]]:
    """The places from which on a field of the stages has another value, and that; without stages, its neutral one."""
    of = [(stage.place, getattr(stage, name)) for stage in stages] or [(0, getattr(Stage, name))]
    return [here for number, here in enumerate(of) if not number or here[1] != of[number - 1][1]]


def stage_of(stages: Sequence[Stage], step: int) -> Stage:
    return stages[bisect.bisect_right(stages, step, key=lambda stage: stage.first) - 1]


def places(stages: Sequence[Stage], step: int) -> int:
    """How many places of the stream the steps 0 … step − 1 take."""
    if not stages:
        return 0
    stage = stage_of(stages, step)
    return stage.place + (step - stage.first) * stage.batch_size


def tokens(config: RunConfig, step: int, steps: int) -> int:
    """Tokens that the model sees in the steps 0 … step − 1 of a run of so many steps."""
    rows = config.method.rows() if config.method else 1
    return int(places(stages(config.data, steps), step) * config.data.sequence_length * rows)


def shares(data: DataConfig, steps: int = MANY) -> dict[int, float]:
    """The share of a run's tokens that is shown at each sequence length."""
    found, shown = stages(data, steps), dict[int, int]()
    for stage, end in zip(found, [*(stage.first for stage in found[1:]), steps], strict=True):
        own = (end - stage.first) * stage.batch_size
        shown[stage.sequence_length] = shown.get(stage.sequence_length, 0) + own
    return {length: own / sum(shown.values()) for length, own in shown.items()}


def pieces(rows: Sequences, length: int) -> Sequences:
    """Rows cut into pieces of so many tokens, each with its last target; told by their numbers among all pieces of that
    length in the stream."""
    whole = rows.tokens_BS.shape[1] - 1
    each = whole // length
    assert each * length == whole
    shown_JS = length * np.arange(each)[:, None] + np.arange(length + 1)
    documents_BJS = rows.documents_BS[:, shown_JS]
    return Sequences(
        rows.tokens_BS[:, shown_JS].reshape(-1, length + 1),
        (documents_BJS - documents_BJS[..., :1]).reshape(-1, length + 1),
        (rows.places_B[:, None] * each + np.arange(each)).ravel(),
        sources_B=None if rows.sources_B is None else rows.sources_B.repeat(each),
    )
