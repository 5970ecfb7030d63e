"""What a run needs to be trained; planning fills it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from harness.data.curriculum import tokens
from harness.schema import RunConfig


@dataclass(frozen=True)
class Parent:
    """What a run starts from. path: a run's directory with the step of its checkpoint, or a folder of transformers.
    identity: ``<id>@<step>``, or a hash of the folder's content."""

    path: Path
    step: int | None
    identity: str


@dataclass(frozen=True)
class TrainingJob:
    """One run, resolved.

    steps: whole optimizer steps, those of the run that it continues included. dataset: what `harness.data` prepared.
    vocabulary: tokens in the embedding table. forward_flops, training_flops: of one token, exact (matrix products);
    where parts are frozen, training needs less than three forward passes, and with a curriculum it is the mean over the
    run. parents: by role.
    """

    config: RunConfig
    steps: int
    dataset: Any
    vocabulary: int
    forward_flops: float
    training_flops: float
    parents: Mapping[str, Parent] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, int, int]:
        """Of initialisation, data and noise."""
        seeds = self.config.with_seeds().seeds
        return cast("tuple[int, int, int]", (seeds.init, seeds.data, seeds.noise))

    @property
    def passes(self) -> float:
        """Forward passes that one token costs: the backward pass of a model that is trained whole is two, and a method
        may make more. 0 where there is no matrix product."""
        return self.training_flops / self.forward_flops if self.forward_flops else 0.0

    def tokens(self, step: int) -> int:
        """Those that the model has seen after so many steps."""
        return tokens(self.config, step, self.steps)
