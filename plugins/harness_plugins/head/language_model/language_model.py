"""Hidden states times the table of tokens."""

from __future__ import annotations

import torch
from torch import nn


class LanguageModel(nn.Linear):
    """logits_BTV = cap · tanh((W (scale · hidden) + b) / cap), without the tanh where there is no cap.

    shared_VC: the embedding table that is W; None: W is its own.
    """

    def __init__(
        self,
        width: int,
        vocabulary: int,
        shared_VC: nn.Parameter | None,
        bias: bool,
        scale: float,
        soft_cap: float | None,
    ) -> None:
        super().__init__(width, vocabulary, bias=False, device=None if shared_VC is None else "meta")
        if shared_VC is not None:
            self.weight = shared_VC
        if bias:
            self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.scale, self.soft_cap = scale, soft_cap

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        logits = super().forward(input if self.scale == 1.0 else input * self.scale)
        return logits if self.soft_cap is None else self.soft_cap * torch.tanh(logits / self.soft_cap)
