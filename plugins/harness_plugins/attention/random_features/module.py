"""Positive orthogonal random features of the softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness.models.linear_attention import LinearHeads
from harness.models.position import Position

if TYPE_CHECKING:
    from harness_plugins.attention.random_features import RandomFeaturesConfig

#: What is added to a key's features, so that a key far from all directions still has some.
EPSILON = 1e-6


class RandomFeatures(LinearHeads):
    """φ(x)_f = exp(w_f·x − |x|²/2), whose products are exp(q·k) on average over w_f ~ N(0, 1) (Choromanski et al. 2021,
    lemma 1), with queries and keys divided by the fourth root of their channels. Factors that all features of a query
    share cancel, so that they may be taken away: 1/√F, and what would overflow.

    A key's own would not cancel; so its exponent stays as it is, which is at most |w_f|²/2.
    """

    directions_FD: torch.Tensor

    def __init__(self, config: RandomFeaturesConfig, width: int, position: Position) -> None:
        super().__init__(config, width, position)
        drawn_FD = directions(config.features_of_head(width), self.head_width, config.key)
        self.register_buffer("directions_FD", torch.empty(drawn_FD.shape).copy_(drawn_FD))  # on the default device

    def features(self, queries_BHTD: torch.Tensor, keys_BHTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        queries_BHTF, keys_BHTF = self._exponents(queries_BHTD), self._exponents(keys_BHTD)
        queries_BHTF = queries_BHTF - queries_BHTF.detach().amax(dim=-1, keepdim=True)
        return queries_BHTF.exp(), keys_BHTF.exp() + EPSILON

    def _exponents(self, x_BHTD: torch.Tensor) -> torch.Tensor:
        scaled_BHTD = x_BHTD * self.head_width**-0.25
        half_squares_BHT1 = scaled_BHTD.square().sum(dim=-1, keepdim=True) / 2
        return scaled_BHTD @ self.directions_FD.float().T - half_squares_BHT1


def directions(features: int, channels: int, key: int) -> torch.Tensor:
    """directions_FD: blocks of orthogonal rows, each as long as a vector of N(0, 1) is (Choromanski et al. 2021,
    section 2.4), drawn by the key alone, on CPU in float64."""
    generator = torch.Generator(device="cpu").manual_seed(key)
    blocks = []
    for _ in range(-(-features // channels)):
        normal_DD = torch.randn(channels, channels, generator=generator, dtype=torch.float64, device="cpu")
        turned_DD, triangle_DD = torch.linalg.qr(normal_DD)
        blocks.append((turned_DD * triangle_DD.diagonal().sign()).T)  # the sign makes it uniform (Mezzadri 2007)
    lengths_F = torch.randn(features, channels, generator=generator, dtype=torch.float64, device="cpu").norm(dim=1)
    return (torch.cat(blocks)[:features] * lengths_F[:, None]).float()
