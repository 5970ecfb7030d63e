"""Rewards: what a program thinks of what was generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from harness.config import PluginConfig


class Reward(Protocol):
    """What `RewardConfig.build` returns."""

    def __call__(self, prompt: str, completion: str, fields: Mapping[str, Any]) -> float:
        """How good the completion is; finite. prompt: the text of the turn that it answers. fields: what else the
        prompt's row held. It says the same of the same, and runs nothing that it is given."""
        ...


@dataclass(kw_only=True)
class RewardConfig(PluginConfig):
    """Base of every reward's Config."""

    def build(self, tokenizer: Any) -> Reward:
        raise NotImplementedError
