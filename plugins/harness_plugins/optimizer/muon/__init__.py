"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Liu et al. 2025, arXiv:2502.16982)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.optimizer import DecoupledDecayConfig, Trained

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MuonConfig(DecoupledDecayConfig):
    """Momentum, orthogonalised, for the body's matrices; AdamW for embeddings, heads, gains and biases. Updates of
    both are of one size, so that AdamW's learning rate and weight decay serve."""

    momentum: float = option(0.95, "decay of the running mean of a matrix's gradients", minimum=0.0, maximum=0.9999)
    nesterov: bool = option(True, "whether the newest gradient counts once more (Nesterov's momentum)")
    iterations: int = option(5, "Newton–Schulz iterations", minimum=1, maximum=99)
    arithmetic: str = option(
        "float32", "of the iterations. float32: equal on all devices but for rounding; bfloat16: faster on large "
        "GPUs",
        choices=("float32", "bfloat16"),
    )  # fmt: skip
    update_rms: float = option(0.2, "root mean square of a matrix's update, as a multiple of the rate", minimum=0.0)
    eps: float = option(1e-8, "AdamW's: added to the root of the second moment", minimum=0.0)

    def state_numbers(self, matrices: float) -> float:
        """The momentum of a matrix; two moments of everything else."""
        return matrices + 2 * (1 - matrices)

    def is_orthogonalised(self, one: Trained) -> bool:
        """Whether Muon updates it: the matrices of the body, not a head's (Jordan et al. 2024)."""
        return one.role == "matrix" and one.parameter.ndim == 2 and not one.name.startswith("heads.")

    def width_share(self, one: Trained) -> float:
        """The singular values of an update are √max(rows, columns), and should be √(outputs / inputs) (Yang, Simon,
        Bernstein 2023, condition 1)."""
        if not self.is_orthogonalised(one):
            return super().width_share(one)
        inputs, outputs = one.growth
        return float((outputs / inputs) ** 0.5 / max(inputs, outputs) ** 0.5)

    def build(self, parameters: list[Trained]) -> Any:
        from harness_plugins.optimizer.muon.muon import build

        return build(self, parameters)


@hookimpl
def register_optimizer() -> dict[str, type]:
    return {"muon": MuonConfig}
