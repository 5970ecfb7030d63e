"""Queries and keys turned by their place."""

from __future__ import annotations

import torch

from harness.models.position import Position


class Rotary(Position):
    """Su et al. 2021, equation 34, in LLaMA's order of channels: d is paired with d + D/2.

    The angles are made anew for each forward pass, in float32: eight small operations, and no table that
    a cast of the model, the meta device or a longer sequence could spoil.
    """

    def __init__(self, base: float, head_width: int) -> None:
        super().__init__()
        self.base, self.pairs = base, head_width // 2

    def prepare(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin, (T, 1, D) or (B, T, 1, D); the sine carries the sign of its term."""
        exponents = torch.arange(self.pairs, device=positions.device, dtype=torch.float32) / self.pairs
        angles = positions[..., None, None].float() * self.base**-exponents
        cos, sin = angles.cos(), angles.sin()
        return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)

    def rotate(self, heads_BTHD: torch.Tensor, prepared: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        cos, sin = (table.to(heads_BTHD.dtype) for table in prepared)
        return heads_BTHD * cos + heads_BTHD.roll(self.pairs, dims=-1) * sin
