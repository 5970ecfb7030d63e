"""Orthogonalised momentum for matrices, and AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor, Replicate
from torch.optim.adamw import adamw

from harness.interfaces.optimizer import Trained
from harness.models.groups import grouped

if TYPE_CHECKING:
    from harness_plugins.optimizer.muon import MuonConfig

#: Coefficients of x ↦ ax + bx³ + cx⁵, of Jordan et al. (2024): small singular values grow by 3.44 in one iteration,
#: and after five all but the smallest lie between 0.7 and 1.2.
A, B, C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """A group says by its `arithmetic` whether its matrices are updated by Muon; a group without is AdamW's."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if "arithmetic" in group:
                for parameter in parameters:
                    self._muon(parameter, group)
            else:
                self._adamw(parameters, group)
        return loss

    def _muon(self, matrix: torch.Tensor, group: dict[str, Any]) -> None:
        """θ ← θ − lr (λ θ + rms √max(rows, columns) O), O = `orthogonal` of the momentum (Liu et al. 2025, eq. 4)."""
        state, gradient, beta = self.state[matrix], matrix.grad, group["momentum"]
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum = state["momentum"].lerp_(gradient, 1 - beta)
        direction = gradient.lerp(momentum, beta) if group["nesterov"] else momentum
        update = _whole(direction).to(getattr(torch, group["arithmetic"]))
        update = orthogonal(update, group["iterations"]).to(matrix.dtype)
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        # Orthonormal rows (or columns) have a root mean square of 1 / √max(rows, columns).
        scale = group["update_rms"] * max(matrix.shape) ** 0.5
        matrix.add_(_as(update, matrix), alpha=-group["lr"] * scale)

    def _adamw(self, parameters: list[torch.Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=group["fused"],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def orthogonal(matrix: torch.Tensor, iterations: int) -> torch.Tensor:
    """About U Vᵀ, where U S Vᵀ is the matrix, by the quintic Newton–Schulz iteration of Jordan et al. (2024), in the
    matrix's own dtype."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix  # the products below are of the shorter side
    x = x / (x.norm() + 1e-7)  # no singular value is above 1
    for _ in range(iterations):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.T if tall else x


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """Every rank gets the whole of a sharded tensor, and goes on to compute the same."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _as(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Of a tensor that every rank has, the shard that a parameter has: nothing is sent."""
    if not isinstance(like, DTensor):
        return whole
    everywhere = [Replicate()] * like.device_mesh.ndim
    return DTensor.from_local(whole, like.device_mesh, everywhere, run_check=False).redistribute(
        placements=like.placements
    )


def build(config: MuonConfig, parameters: list[Trained]) -> Muon:
    def kind(one: Trained) -> tuple[bool, float]:
        """Whether Muon updates it, and its decay."""
        return config.is_orthogonalised(one), config.decay_of(one)

    by_muon = {
        "momentum": config.momentum, "nesterov": config.nesterov, "iterations": config.iterations,
        "arithmetic": config.arithmetic, "update_rms": config.update_rms,
    }  # fmt: skip
    # PyTorch keeps the count of steps in float32, beside the parameter, where a group says that it is fused.
    by_adamw = {"betas": list(config.betas), "eps": config.eps, "fused": True}
    return Muon(
        [
            {**group, "weight_decay": decay, **(by_muon if muon else by_adamw)}
            for (muon, decay), group in grouped(parameters, config.lr, kind)
        ]
    )
