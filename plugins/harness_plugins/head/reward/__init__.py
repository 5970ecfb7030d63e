"""The reward head: a hidden state to one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.interfaces.parts import HeadConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class RewardConfig(HeadConfig):
    """A hidden state to one number, the reward of what ends there."""

    def at_width(self, times: float) -> Any:
        return self

    def parameters(self, width: int, vocabulary: int) -> int:
        return width

    def flops(self, width: int, vocabulary: int) -> int:
        """As if every token were asked; of a whole answer only the last one is."""
        return 2 * width

    def build(self, width: int, vocabulary: int, embedding_VC: Any) -> Any:
        from harness_plugins.head.reward.reward import Reward

        return Reward(width)


@hookimpl
def register_head() -> dict[str, type]:
    return {"reward": RewardConfig}
