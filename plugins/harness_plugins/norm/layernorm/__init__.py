"""LayerNorm (Ba, Kiros, Hinton 2016): subtract the mean, divide by the standard deviation, scale and shift."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.parts import NormConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LayerNormConfig(NormConfig):
    epsilon: float = option(1e-5, "added to the variance", minimum=0.0)
    gain: bool = option(True, "whether it scales each channel; OLMo's first models do not", neutral=True)
    bias: bool = option(True, "whether it shifts as well as scales")

    def check(self) -> None:
        if self.bias and not self.gain:
            raise ConfigError("layernorm shifts only where it scales: with gain=false say bias=false.")

    def parameters(self, width: int) -> int:
        return width * (self.gain + self.bias)

    def activations(self, width: int) -> int:
        """The input."""
        return width

    def build(self, width: int) -> Any:
        from torch import nn

        return nn.LayerNorm(width, eps=self.epsilon, elementwise_affine=self.gain, bias=self.bias)


@hookimpl
def register_norm() -> dict[str, type]:
    return {"layernorm": LayerNormConfig}
