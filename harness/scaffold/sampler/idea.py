"""Logits to one random token for each row."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class MineSampler:
    min_p: float
    temperature: float

    def __call__(self, logits_BV: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        return torch.multinomial(self.probabilities(logits_BV), 1, generator=generator).squeeze(1)

    def probabilities(self, logits_BV: torch.Tensor) -> torch.Tensor:
        """What is sampled from, up to a factor, float32; zero where a token was cut."""
        probabilities_BV = (logits_BV.float() / self.temperature).softmax(dim=-1)
        least_B1 = self.min_p * probabilities_BV.amax(dim=-1, keepdim=True)
        return probabilities_BV.masked_fill(probabilities_BV < least_B1, 0.0)
