"""Logits to one random token for each row."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Categorical:
    temperature: float
    top_k: int | None
    top_p: float | None

    def __call__(self, logits_BV: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        return torch.multinomial(self.probabilities(logits_BV), 1, generator=generator).squeeze(1)

    def probabilities(self, logits_BV: torch.Tensor) -> torch.Tensor:
        """What is sampled from, float32, over the whole vocabulary; zero where a token was cut."""
        sorted_BV, tokens_BV = (logits_BV.float() / self.temperature).sort(dim=-1, descending=True, stable=True)
        if self.top_k is not None:
            sorted_BV[:, self.top_k :] = -torch.inf
        probabilities_BV = sorted_BV.softmax(dim=-1)
        if self.top_p is not None:
            # On the CPU: a GPU's cumulative sum has no fixed order.
            sums_BV = probabilities_BV.cpu().cumsum(dim=-1).to(probabilities_BV.device)
            before_BV = sums_BV - probabilities_BV  # what is likelier than this token
            probabilities_BV = probabilities_BV.masked_fill(before_BV >= self.top_p, 0.0)
            probabilities_BV = probabilities_BV / probabilities_BV.sum(dim=-1, keepdim=True)
        return torch.zeros_like(probabilities_BV).scatter(-1, tokens_BV, probabilities_BV)
