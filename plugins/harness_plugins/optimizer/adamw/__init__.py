"""AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.optimizer import DecoupledDecayConfig, Trained

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class AdamWConfig(DecoupledDecayConfig):
    """AdamW. Matrices and embeddings decay, gains and biases do not, as in GPT-3 and LLaMA."""

    eps: float = option(1e-8, "added to the root of the second moment", minimum=0.0)

    def build(self, parameters: list[Trained]) -> Any:
        from harness_plugins.optimizer.adamw.adamw import build

        return build(self, parameters)


@hookimpl
def register_optimizer() -> dict[str, type]:
    return {"adamw": AdamWConfig}
