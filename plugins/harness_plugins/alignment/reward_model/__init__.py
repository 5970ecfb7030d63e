"""A reward model: a scalar for each answer, learned from comparisons (Bradley, Terry 1952; Stiennon et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.interfaces.corpus import PREFERENCES
from harness.interfaces.method import AlignmentConfig, Method, Setting

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class RewardModelConfig(AlignmentConfig):
    """A reward model: a number for each answer, higher for the better one of a pair. Needs architecture/head=reward."""

    likelihood: ClassVar[str | None] = None
    head: ClassVar[str] = "reward"
    reads: ClassVar[str] = PREFERENCES
    unit: ClassVar[str] = "nats per pair"

    def rows(self) -> int:
        return 2

    def room(self) -> int:
        """The last token is read, too, where others are only learned."""
        return 1

    def build(self, setting: Setting) -> Method:
        from harness_plugins.alignment.reward_model.reward_model import RewardModel

        return RewardModel(setting.sequence_length)


@hookimpl
def register_alignment() -> dict[str, type]:
    return {"reward_model": RewardModelConfig}
