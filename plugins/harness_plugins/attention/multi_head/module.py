"""Multi-head attention through PyTorch's scaled-dot-product kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.models.cache import KeyValueCache
from harness.models.position import Position
from harness.models.visibility import Seen, View

if TYPE_CHECKING:
    from harness_plugins.attention.multi_head import MultiHeadConfig


class MultiHead(nn.Module):
    """softmax(QKᵀ/√D) V over `heads` heads of D channels (Vaswani et al. 2017, equation 1).

    Groups of `repeats` heads of queries share a head of keys and values. A rank of tensor parallelism holds some of
    the heads, so how many there are is read from the tensors.
    """

    tensor_parallel = {"queries": "columns", "keys": "columns", "values": "columns", "out": "rows"}

    #: Names of the parameters whose product is added to the residual stream.
    writes = ("out.weight",)

    def __init__(self, config: MultiHeadConfig, width: int, position: Position) -> None:
        super().__init__()
        self.head_width, self.repeats = config.head_width(width), config.heads // config.shared_heads
        self.window, self.dropout = config.window, config.dropout
        self.queries = nn.Linear(width, config.heads * self.head_width, bias=config.bias)
        self.keys = nn.Linear(width, config.shared_heads * self.head_width, bias=config.bias)
        self.values = nn.Linear(width, config.shared_heads * self.head_width, bias=config.bias)
        self.out = nn.Linear(config.heads * self.head_width, width, bias=config.bias)
        self._rotate = position.rotate  # a bound method: the position belongs to the body, not to each layer

    def start(self, batch: int, length: int) -> KeyValueCache:
        """An empty decoding state."""
        return KeyValueCache(length)

    def lower(self, view: View) -> Seen:
        """What `forward` is told of the visibility."""
        return view.lower(self.window)

    def forward(
        self, hidden_BTC: torch.Tensor, positions: Any, seen: Seen, state: KeyValueCache | None = None
    ) -> tuple[torch.Tensor, KeyValueCache | None]:
        """positions: what `Position.prepare` made of this pass's places."""
        queries_BHTD = self._rotate(self._heads(self.queries(hidden_BTC)), positions).transpose(1, 2)
        keys_BHTD = self._rotate(self._heads(self.keys(hidden_BTC)), positions).transpose(1, 2)
        values_BHTD = self._heads(self.values(hidden_BTC)).transpose(1, 2)
        if state is not None:
            keys_BHTD, values_BHTD = state.extend(keys_BHTD, values_BHTD, seen.offset)
        grouped = self.repeats > 1
        if grouped and seen.mask is not None:  # on GPUs the one fused kernel that takes groups takes no mask
            grouped = False
            keys_BHTD, values_BHTD = (x.repeat_interleave(self.repeats, dim=1) for x in (keys_BHTD, values_BHTD))
        mixed_BHTD = F.scaled_dot_product_attention(
            queries_BHTD,
            keys_BHTD,
            values_BHTD,
            attn_mask=seen.mask,
            is_causal=seen.is_causal,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=grouped,
        )
        return self.out(mixed_BHTD.transpose(1, 2).flatten(2)), state

    def _heads(self, projected_BTC: torch.Tensor) -> torch.Tensor:
        """(B, T, heads, channels of one head)."""
        return projected_BTC.unflatten(-1, (-1, self.head_width))
