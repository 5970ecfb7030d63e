"""Gradient descent with momentum (Polyak 1964)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.optimizer import OptimizerConfig, Trained

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(OptimizerConfig):
    """Gradient descent with momentum. It wants a larger rate than AdamW."""

    lr: float = option(0.1, "peak learning rate", minimum=0.0)
    momentum: float = option(0.9, "share of the last update that the next one keeps", minimum=0.0, maximum=1.0)

    def state_numbers(self, matrices: float) -> float:
        """The last update."""
        return 1

    def build(self, parameters: list[Trained]) -> Any:
        from harness.models.groups import grouped
        from harness.scaffold.optimizer.idea import MineOptimizer

        return MineOptimizer([group for _, group in grouped(parameters, self.lr, lambda one: None)], self.momentum)


@hookimpl
def register_optimizer() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.optimizer.conf"]
