"""Linear decay after a warm-up."""

from __future__ import annotations

from dataclasses import dataclass

from harness import hookimpl
from harness.config import option
from harness.interfaces.optimizer import ScheduleConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LinearConfig(ScheduleConfig):
    """Up in a straight line, then down in another."""

    warmup: float = option(
        0.05, "share of the steps in which the rate rises from 0 to its peak", minimum=0.0, maximum=1.0
    )
    floor: float = option(0.0, "share of the peak rate that the end comes down to", minimum=0.0, maximum=1.0)

    def factor(self, step: int, steps: int) -> float:
        """Through 0 before the first step, 1 after the warm-up and `floor` after the last step."""
        rising = round(self.warmup * steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        return 1 - (1 - self.floor) * (step - rising) / (steps - rising)


@hookimpl
def register_schedule() -> dict[str, type]:
    return {"linear": LinearConfig}
