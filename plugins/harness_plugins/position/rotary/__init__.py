"""Rotary positions (Su et al. 2021): queries and keys are turned by an angle that grows with their place."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.parts import PositionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class RotaryConfig(PositionConfig):
    base: float = option(
        10000.0, "base of the wavelengths: channel pair d turns base^(-2d/D) radians each place", minimum=1.0
    )

    def check_head(self, head_width: int) -> None:
        if head_width % 2:
            raise ConfigError(
                f"position=rotary turns pairs of channels, but a head has {head_width}: choose other heads."
            )

    def build(self, width: int, head_width: int) -> Any:
        from harness_plugins.position.rotary.module import Rotary

        return Rotary(self.base, head_width)


@hookimpl
def register_position() -> dict[str, type]:
    return {"rotary": RotaryConfig}
