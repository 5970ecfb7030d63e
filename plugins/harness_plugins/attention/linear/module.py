"""The feature map of linear attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.models.linear_attention import LinearHeads


class Linear(LinearHeads):
    """φ(x) = elu(x) + 1 (Katharopoulos et al. 2020, equation 7)."""

    def features(self, queries_BHTD: torch.Tensor, keys_BHTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return F.elu(queries_BHTD) + 1, F.elu(keys_BHTD) + 1
