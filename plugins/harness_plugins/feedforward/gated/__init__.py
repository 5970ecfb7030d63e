"""Gated linear units (Shazeer 2020, “GLU variants improve Transformer”): SwiGLU, GeGLU, ReGLU."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import ACTIVATIONS
from harness_plugins.feedforward.mlp import MLPConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class GatedConfig(MLPConfig):
    activation: str = option(
        "silu",
        "of the gate; silu: SwiGLU; gelu or gelu_tanh: GeGLU; relu: ReGLU",
        choices=ACTIVATIONS,
    )
    multiple: float = option(
        8 / 3, "channels of the hidden layer, in widths; 8/3 costs what an mlp of 4 does", minimum=0.0
    )
    rounding: int = option(8, "the hidden layer is rounded up to a multiple of so many channels", minimum=1)

    def parameters(self, width: int) -> int:
        hidden = self.hidden_width(width)
        return 3 * width * hidden + self.bias * (2 * hidden + width)

    def flops(self, width: int) -> int:
        return 6 * width * self.hidden_width(width)

    def activations(self, width: int) -> int:
        """The input, gate and up, the activated gate, and their product. relu keeps its result alone."""
        return width + (3 if self.activation == "relu" else 4) * self.hidden_width(width)

    def products(self, width: int) -> int:
        """Gate and up, and the result."""
        return width + 2 * self.hidden_width(width)

    def build(self, width: int) -> Any:
        from harness_plugins.feedforward.gated.module import Gated

        return Gated(width, self.hidden_width(width), self.activation, self.bias)


@hookimpl
def register_feedforward() -> dict[str, type]:
    return {"gated": GatedConfig}
