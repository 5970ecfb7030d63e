"""Multi-head attention through PyTorch's scaled-dot-product kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.models.cache import KeyValueCache
from harness.models.position import Position
from harness.models.visibility import View

if TYPE_CHECKING:
    from harness_plugins.attention.multi_head import MultiHeadConfig


class MultiHead(nn.Module):
    """softmax(QKᵀ/√D) V over `heads` heads of D channels (Vaswani et al. 2017, equation 1).

    One matrix projects to queries, keys and values, in this order; groups of `heads / shared` query heads
    share a head of keys and values.
    """

    #: Names of the parameters whose product is added to the residual stream.
    writes = ("out.weight",)

    def __init__(self, config: MultiHeadConfig, width: int, position: Position) -> None:
        super().__init__()
        self.heads, self.shared, self.head_width = config.heads, config.shared_heads, config.head_width(width)
        self.window, self.dropout = config.window, config.dropout
        self.qkv = nn.Linear(width, (self.heads + 2 * self.shared) * self.head_width, bias=config.bias)
        self.out = nn.Linear(width, width, bias=config.bias)
        self._rotate = position.rotate  # a bound method: the position belongs to the body, not to each layer

    def start(self, batch: int, length: int) -> KeyValueCache:
        """An empty decoding state."""
        return KeyValueCache(length)

    def forward(
        self, hidden_BTC: torch.Tensor, positions: Any, view: View, state: KeyValueCache | None = None
    ) -> tuple[torch.Tensor, KeyValueCache | None]:
        """positions: what `Position.prepare` made of this pass's places."""
        qkv_BTHD = self.qkv(hidden_BTC).unflatten(-1, (self.heads + 2 * self.shared, self.head_width))
        turned_BTHD, values_BTHD = qkv_BTHD.split((self.heads + self.shared, self.shared), dim=2)
        turned_BTHD = self._rotate(turned_BTHD, positions)
        queries_BHTD, keys_BHTD = turned_BTHD.transpose(1, 2).split((self.heads, self.shared), dim=1)
        values_BHTD = values_BTHD.transpose(1, 2)
        if state is not None:
            keys_BHTD, values_BHTD = state.extend(keys_BHTD, values_BHTD, view.offset)
        is_causal, mask = view.lower(self.window)
        grouped = self.shared != self.heads
        if grouped and mask is not None:  # on GPUs the one fused kernel that takes groups takes no mask
            repeats, grouped = self.heads // self.shared, False
            keys_BHTD, values_BHTD = (x.repeat_interleave(repeats, dim=1) for x in (keys_BHTD, values_BHTD))
        mixed_BHTD = F.scaled_dot_product_attention(
            queries_BHTD,
            keys_BHTD,
            values_BHTD,
            attn_mask=mask,
            is_causal=is_causal,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=grouped,
        )
        return self.out(mixed_BHTD.transpose(1, 2).flatten(2)), state
