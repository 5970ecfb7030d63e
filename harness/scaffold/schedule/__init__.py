"""The inverse square root of the step (Vaswani et al. 2017), after a warm-up."""

from __future__ import annotations

from dataclasses import dataclass

from harness import hookimpl
from harness.config import option
from harness.interfaces.optimizer import ScheduleConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(ScheduleConfig):
    """Up in a straight line, then down as 1/√step."""

    warmup: float = option(
        0.05, "share of the steps in which the rate rises from 0 to its peak", minimum=0.0, maximum=1.0
    )

    def factor(self, step: int, steps: int) -> float:
        """1 at the end of the warm-up (section 5.3, equation 3)."""
        rising = max(1, round(self.warmup * steps))
        return min((step + 1) / rising, (rising / (step + 1)) ** 0.5)


@hookimpl
def register_schedule() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.schedule.conf"]
