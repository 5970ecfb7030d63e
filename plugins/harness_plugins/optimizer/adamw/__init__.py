"""AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.optimizer import OptimizerConfig, Trained

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class AdamWConfig(OptimizerConfig):
    """AdamW. Matrices and embeddings decay, gains and biases do not, as in GPT-3 and LLaMA."""

    betas: list[float] = option([0.9, 0.95], "decay of the running mean of gradients, and of their squares")
    eps: float = option(1e-8, "added to the root of the second moment", minimum=0.0)
    weight_decay: float = option(0.1, "share of a weight lost in one step, as a multiple of the rate", minimum=0.0)
    decayed: list[str] = option(
        ["matrix", "embedding"], "roles of the parameters that decay: matrix, embedding, gain, bias"
    )

    def check(self) -> None:
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas={self.betas} must be two numbers from 0 up to but not including 1.")
        unknown = set(self.decayed) - {"matrix", "embedding", "gain", "bias"}
        if unknown:
            raise ConfigError(f"decayed={self.decayed} names no role: {', '.join(sorted(unknown))}.")

    def build(self, parameters: list[Trained]) -> Any:
        from harness_plugins.optimizer.adamw.adamw import build

        return build(self, parameters)


@hookimpl
def register_optimizer() -> dict[str, type]:
    return {"adamw": AdamWConfig}
