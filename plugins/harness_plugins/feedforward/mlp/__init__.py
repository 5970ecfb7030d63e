"""The two-layer feed-forward network (Vaswani et al. 2017, equation 2), with GELU where GPT-2 has it."""

import math
from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import ACTIVATIONS, FeedforwardConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MLPConfig(FeedforwardConfig):
    activation: str = option("gelu", "the activation; gelu_tanh: GPT-2's approximation", choices=ACTIVATIONS)
    hidden: int | None = option(None, "channels of the hidden layer; null: multiple × width", minimum=1)
    multiple: float = option(4.0, "channels of the hidden layer, in widths", minimum=0.0)
    rounding: int = option(1, "the hidden layer is rounded up to a multiple of so many channels", minimum=1)
    bias: bool = option(False, "whether the projections have biases")

    def hidden_width(self, width: int) -> int:
        return self.hidden or math.ceil(max(1, int(self.multiple * width)) / self.rounding) * self.rounding

    def computes(self, width: int) -> dict[str, Any]:
        resolved = {"hidden": self.hidden_width(width), "multiple": None, "rounding": None}
        return {**super().computes(width), **resolved}

    def parameters(self, width: int) -> int:
        hidden = self.hidden_width(width)
        return 2 * width * hidden + self.bias * (hidden + width)

    def flops(self, width: int) -> int:
        return 4 * width * self.hidden_width(width)

    def activations(self, width: int) -> int:
        """The input, and the hidden layer before and after its activation. relu keeps its result alone."""
        return width + (1 if self.activation == "relu" else 2) * self.hidden_width(width)

    def products(self, width: int) -> int:
        """The hidden layer before its activation, and the result."""
        return width + self.hidden_width(width)

    def divisible(self, width: int) -> int:
        return self.hidden_width(width)

    def build(self, width: int) -> Any:
        from harness_plugins.feedforward.mlp.module import MLP

        return MLP(width, self.hidden_width(width), self.activation, self.bias)


@hookimpl
def register_feedforward() -> dict[str, type]:
    return {"mlp": MLPConfig}
