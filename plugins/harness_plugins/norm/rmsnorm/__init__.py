"""RMSNorm (Zhang, Sennrich 2019): divide by the root mean square and scale; no mean, and mostly no shift."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.parts import NormConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class RMSNormConfig(NormConfig):
    epsilon: float = option(1e-5, "added to the mean square", minimum=0.0)
    gain: bool = option(True, "whether it scales each channel", neutral=True)
    bias: bool = option(False, "whether it shifts each channel", neutral=False)
    around_one: bool = option(
        False, "whether it scales by 1 + gain, so that decay draws it to one and not to nothing (Gemma)", neutral=False
    )

    def check(self) -> None:
        if self.around_one and not self.gain:
            raise ConfigError("rmsnorm with around_one=true scales by 1 + gain: say gain=true.")

    def parameters(self, width: int) -> int:
        return width * (self.gain + self.bias)

    def activations(self, width: int) -> int:
        """The input, and the input divided by its size, which the fused kernel of GPUs does not keep."""
        return 2 * width

    def build(self, width: int) -> Any:
        from harness_plugins.norm.rmsnorm.rmsnorm import RMSNorm

        return RMSNorm(width, self.epsilon, self.gain, self.bias, self.around_one)


@hookimpl
def register_norm() -> dict[str, type]:
    return {"rmsnorm": RMSNormConfig}
