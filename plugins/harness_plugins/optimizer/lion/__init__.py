"""Lion (Chen et al. 2023, arXiv:2302.06675)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.optimizer import DecoupledDecayConfig, Trained

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LionConfig(DecoupledDecayConfig):
    """The sign of a momentum. The authors advise 3 to 10 times less learning rate than AdamW's, and as much more
    weight decay."""

    lr: float = option(1e-4, "peak learning rate", minimum=0.0)
    betas: list[float] = option([0.9, 0.99], "share of the momentum in an update, and its decay")
    weight_decay: float = option(1.0, "share of a weight lost in one step, as a multiple of the rate", minimum=0.0)

    def state_numbers(self, matrices: float) -> float:
        return 1

    def update_numbers(self) -> float:
        """The signs."""
        return 1

    def build(self, parameters: list[Trained]) -> Any:
        from harness_plugins.optimizer.lion.lion import build

        return build(self, parameters)


@hookimpl
def register_optimizer() -> dict[str, type]:
    return {"lion": LionConfig}
