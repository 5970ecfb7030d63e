"""Sinusoidal positions (Vaswani et al. 2017, section 3.5): waves of fixed lengths, added to the embeddings."""

from dataclasses import dataclass, replace
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
    amplitude: float | None = option(
        None, "of the waves; null: the standard deviation that the tokens' vectors begin with, as in the paper, where "
        "both are 1", minimum=0.0,
    )  # fmt: skip

    def beside(self, std: float) -> Any:
        return self if self.amplitude is not None else replace(self, amplitude=std)

    def build(self, width: int, heads: int, head_width: int) -> Any:
        from harness_plugins.position.sinusoidal.module import Sinusoidal

        return Sinusoidal(self.base, 1.0 if self.amplitude is None else self.amplitude)


@hookimpl
def register_position() -> dict[str, type]:
    return {"sinusoidal": SinusoidalConfig}
