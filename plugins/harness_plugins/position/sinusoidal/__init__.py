"""Sinusoidal positions (Vaswani et al. 2017, section 3.5): waves of fixed lengths, added to the embeddings."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import PositionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class SinusoidalConfig(PositionConfig):
    base: float = option(
        10000.0, "base of the wavelengths: channels 2d and 2d + 1 turn base^(-2d/width) radians each place", minimum=1.0
    )
    amplitude: float = option(
        1.0, "of the waves; in the paper 1, beside embeddings that are multiplied by √width", minimum=0.0
    )

    def build(self, width: int, heads: int, head_width: int) -> Any:
        from harness_plugins.position.sinusoidal.module import Sinusoidal

        return Sinusoidal(self.base, self.amplitude)


@hookimpl
def register_position() -> dict[str, type]:
    return {"sinusoidal": SinusoidalConfig}
