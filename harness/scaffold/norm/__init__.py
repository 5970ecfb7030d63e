"""Dynamic tanh (Zhu et al. 2025, “Transformers without normalization”): squashes channels, and measures nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import NormConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(NormConfig):
    """gain · tanh(steepness · x) + bias."""

    start: float = option(0.5, "the steepness at the start", minimum=0.0)

    def parameters(self, width: int) -> int:
        return 2 * width + 1

    def build(self, width: int) -> Any:
        from harness.scaffold.norm.idea import MineNorm

        return MineNorm(width, self.start)


@hookimpl
def register_norm() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.norm.conf"]
