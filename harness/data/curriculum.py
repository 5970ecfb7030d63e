"""Curricula: sequences that begin short and steps that begin small, in closed form.

A run has stages; the last one is what `data` says without a curriculum. The order of the stream stays as it is: a stage
of short sequences shows each of its places in pieces, and one of small batches takes fewer places in a step.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.interfaces.batch import Sequences
from harness.schema import DataConfig, RunConfig

#: Steps of a run that is long enough for its stages to have no rounding.
MANY = 10**9


@dataclass(frozen=True)
class Stage:
    """The steps from `first` on, which take the stream's places from `place` on."""

    first: int
    place: int
    batch_size: int
    sequence_length: int


def stages(data: DataConfig, steps: int) -> list[Stage]:
    """Those of a run of so many steps, in order; what comes behind its last step belongs to the last. One that has no
    whole step is left out."""
    plan = data.curriculum
    lengths, sizes = _firsts(plan.sequence_length, steps), _firsts(plan.batch_size, steps)
    found: list[Stage] = []
    for first in sorted({0, *lengths, *sizes}):
        size = [*plan.batch_size, (1, data.batch_size)][bisect.bisect_right(sizes, first)][1]
        length = [*plan.sequence_length, (1, data.sequence_length)][bisect.bisect_right(lengths, first)][1]
        found.append(Stage(first, places(found, first), int(size), int(length)))
    return found


def _firsts(changes: Sequence[Sequence[float]], steps: int) -> list[int]:
    """The step that each stage ends before."""
    return [math.ceil(share * steps - 1e-9) for share, _ in changes]


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
