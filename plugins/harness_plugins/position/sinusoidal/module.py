"""Waves of fixed lengths for each place."""

from __future__ import annotations

import torch

from harness.models.position import Position


class Sinusoidal(Position):
    """amplitude · sin(t · base^(−2d/C)) in channel 2d of place t, the cosine in channel 2d + 1.

    Made anew for each forward pass, in float32, so that there is no longest sequence.
    """

    def __init__(self, base: float, amplitude: float) -> None:
        super().__init__()
        self.base, self.amplitude = base, amplitude

    def embed(self, embeddings_BTC: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        width = embeddings_BTC.shape[-1]
        exponents = torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width
        angles = positions[..., None].float() * self.base**-exponents
        waves = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)[
            ..., :width
        ]  # an odd width ends in a sine
        return embeddings_BTC + (self.amplitude * waves).to(embeddings_BTC.dtype)
