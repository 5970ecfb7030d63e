"""What stands between the projections."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from harness.models.cache import KeyValueCache
from harness.models.heads import Heads
from harness.models.position import Position
from harness.scaffold.attention import MineConfig


class MineAttention(Heads):
    """softmax(sharpness · q·k / √D) v for each head of D channels (Vaswani et al. 2017, equation 1)."""

    def __init__(self, config: MineConfig, width: int, position: Position) -> None:
        super().__init__(config, width, position)
        self.sharpness = config.sharpness

    def start(self, batch: int, length: int) -> KeyValueCache:
        """An empty decoding state for so many rows and at most so many places."""
        return KeyValueCache(length)

    def lower(self, view: Any) -> Any:
        """What `forward` is told of who sees whom."""
        return view.lower()

    def forward(
        self, hidden_BTC: torch.Tensor, positions: Any, seen: Any, state: KeyValueCache | None = None
    ) -> tuple[torch.Tensor, KeyValueCache | None]:
        queries_BHTD, keys_BHTD, values_BHTD = self.projected(hidden_BTC, positions)
        if state is not None:  # the places of this pass stand behind those that it holds
            keys_BHTD, values_BHTD = state.extend(keys_BHTD, values_BHTD, seen.offset)
        mixed_BHTD = scaled_dot_product_attention(
            queries_BHTD,
            keys_BHTD,
            values_BHTD,
            attn_mask=seen.mask,
            is_causal=seen.is_causal,
            scale=self.sharpness * self.head_width**-0.5,
        )
        return self.joined(mixed_BHTD), state
