"""Warm-up, constant rate, linear decay (Hu et al. 2024, arXiv:2404.06395; Hägele et al. 2024, arXiv:2405.18392)."""

from __future__ import annotations

from dataclasses import dataclass

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.optimizer import ScheduleConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class WarmupStableDecayConfig(ScheduleConfig):
    """Up in a straight line, level, then down in another. Runs of several lengths share all but their decay."""

    warmup: float = option(
        0.05, "share of the steps in which the rate rises from 0 to its peak", minimum=0.0, maximum=1.0
    )
    decay: float = option(0.2, "share of the steps in which the rate comes down", minimum=0.0, maximum=1.0)
    floor: float = option(0.0, "share of the peak rate that the end comes down to", minimum=0.0, maximum=1.0)

    def check(self) -> None:
        if self.warmup + self.decay > 1:
            raise ConfigError(f"warmup={self.warmup} and decay={self.decay} are more than the whole run together.")

    def factor(self, step: int, steps: int) -> float:
        """Through 0 before the first step, 1 after the warm-up and until the decay, `floor` after the last step."""
        rising, falling = round(self.warmup * steps), round(self.decay * steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        if step < steps - falling:
            return 1.0
        return 1 - (1 - self.floor) * (step - (steps - falling)) / falling


@hookimpl
def register_schedule() -> dict[str, type]:
    return {"warmup_stable_decay": WarmupStableDecayConfig}
