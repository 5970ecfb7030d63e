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
    warmup_steps: int | None = option(
        None, "steps of the warm-up, so that runs of any length share it; null: by its share", neutral=None, minimum=0
    )
    decay_steps: int | None = option(None, "steps of the decay; null: by its share", neutral=None, minimum=0)

    def check(self) -> None:
        shares = (self.warmup_steps is None) * self.warmup + (self.decay_steps is None) * self.decay
        if shares > 1:
            raise ConfigError(f"warmup={self.warmup} and decay={self.decay} are more than the whole run together.")

    def factor(self, step: int, steps: int) -> float:
        """Through 0 before the first step, 1 after the warm-up and until the decay, `floor` after the last step. In a
        run that is too short for both, the decay takes what the warm-up leaves."""
        rising = round(self.warmup * steps) if self.warmup_steps is None else min(self.warmup_steps, steps)
        falling = round(self.decay * steps) if self.decay_steps is None else self.decay_steps
        falling = min(falling, steps - rising)
        if step < rising:
            return (step + 1) / (rising + 1)
        if step < steps - falling:
            return 1.0
        return 1 - (1 - self.floor) * (step - (steps - falling)) / falling


@hookimpl
def register_schedule() -> dict[str, type]:
    return {"warmup_stable_decay": WarmupStableDecayConfig}
