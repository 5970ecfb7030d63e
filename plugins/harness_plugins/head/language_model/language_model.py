"""Hidden states times the table of tokens."""

from __future__ import annotations

import torch
from torch import nn

from harness.models.activations import ACTIVATIONS


class LanguageModel(nn.Linear):
    """logits_BTV = cap · tanh((W (scale · hidden) + b) / cap), without the tanh where there is no cap.

    shared_VC: the embedding table that is W; None: W is its own. transform: what hidden states go through before.
    """

    reads_out = ("weight",)

    def __init__(
        self,
        width: int,
        vocabulary: int,
        shared_VC: nn.Parameter | None,
        bias: bool,
        scale: float,
        soft_cap: float | None,
        transform: nn.Module | None = None,
    ) -> None:
        super().__init__(width, vocabulary, bias=False, device=None if shared_VC is None else "meta")
        if shared_VC is not None:
            self.weight = shared_VC
        if bias:
            self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.scale, self.soft_cap, self.transform = scale, soft_cap, transform

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.transform is not None:
            input = self.transform(input)
        logits = super().forward(input if self.scale == 1.0 else input * self.scale)
        return logits if self.soft_cap is None else self.soft_cap * torch.tanh(logits / self.soft_cap)


class Transform(nn.Module):
    """norm(activation(W hidden + b)), of BERT's masked language model (Devlin et al. 2019; their code, since the paper
    does not tell it)."""

    def __init__(self, width: int, activation: str, norm: nn.Module | None) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.activation = ACTIVATIONS[activation]
        self.norm = norm or nn.Identity()

    def forward(self, hidden_BTC: torch.Tensor) -> torch.Tensor:
        transformed_BTC: torch.Tensor = self.norm(self.activation(self.dense(hidden_BTC)))
        return transformed_BTC
