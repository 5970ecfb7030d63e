"""Queries and keys turned by their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness.models.position import Position
from harness_plugins.position.rotary.scaling import by_length, frequencies, temperature

if TYPE_CHECKING:
    from harness_plugins.position.rotary import RotaryConfig


class Rotary(Position):
    """Su et al. 2021, equation 34. A pair of channels are neighbours as there, or d and d + D/2 as in LLaMA.

    The angles are made anew for each forward pass, in float32: eight small operations (some more with a scaling), and
    no table that a cast of the model, the meta device or a longer sequence could spoil.
    """

    def __init__(self, config: RotaryConfig, head_width: int) -> None:
        super().__init__()
        self.config, self.head_width = config, head_width
        self.channels = config.channels(head_width)
        self.temperature = temperature(config)

    def prepare(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin, (T, 1, D) or (B, T, 1, D) for D channels that are turned; the sine carries the sign of its
        term."""
        turns = frequencies(self.config, self.channels // 2, positions.device)
        if self.config.scaling == "longrope":
            turns = by_length(self.config, turns, positions)
        angles = positions[..., None, None].float() * turns
        cos, sin = angles.cos(), angles.sin()
        if self.temperature != 1.0:
            cos, sin = cos * self.temperature, sin * self.temperature
        if self.config.interleaved:
            return cos.repeat_interleave(2, dim=-1), torch.stack((-sin, sin), dim=-1).flatten(-2)
        return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)

    def rotate(self, heads_BTHD: torch.Tensor, prepared: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        cos, sin = (table.to(heads_BTHD.dtype) for table in prepared)
        if self.channels == self.head_width:
            return heads_BTHD * cos + self._partners(heads_BTHD) * sin
        turned, kept = heads_BTHD.split((self.channels, self.head_width - self.channels), dim=-1)
        return torch.cat((turned * cos + self._partners(turned) * sin, kept), dim=-1)

    def _partners(self, heads_BTHD: torch.Tensor) -> torch.Tensor:
        """In the place of each channel the other one of its pair."""
        if self.config.interleaved:
            return heads_BTHD.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
        return heads_BTHD.roll(self.channels // 2, dims=-1)
