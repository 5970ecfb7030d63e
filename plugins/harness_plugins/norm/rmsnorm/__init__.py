"""RMSNorm (Zhang, Sennrich 2019): divide by the root mean square and scale; no mean, no shift."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import NormConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class RMSNormConfig(NormConfig):
    epsilon: float = option(1e-5, "added to the mean square", minimum=0.0)

    def parameters(self, width: int) -> int:
        return width

    def activations(self, width: int) -> int:
        """The input, and the input divided by its size, which the fused kernel of GPUs does not keep."""
        return 2 * width

    def build(self, width: int) -> Any:
        from torch import nn

        return nn.RMSNorm(width, eps=self.epsilon)


@hookimpl
def register_norm() -> dict[str, type]:
    return {"rmsnorm": RMSNormConfig}
