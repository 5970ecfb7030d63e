"""The share of a completion's words that are distinct (Li et al. 2016): what only repeats itself is worth little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.reward import Reward, RewardConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(RewardConfig):
    """Distinct words over words; 0 where there are too few."""

    least: int = option(4, "words of the completion, at least", minimum=1)

    def build(self, tokenizer: Any) -> Reward:
        return MineReward(self.least)


@dataclass(frozen=True)
class MineReward:
    least: int

    def __call__(self, prompt: str, completion: str, fields: Mapping[str, Any]) -> float:
        words = completion.split()
        return len(set(words)) / len(words) if len(words) >= self.least else 0.0


@hookimpl
def register_reward() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.reward.conf"]
