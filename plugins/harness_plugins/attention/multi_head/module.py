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
        self.out = nn.Linear(config.heads * self.head_width, width, bias=config.biased_out)
        self.scale, self.soft_cap, self.norm_of_all_heads = config.scale, config.soft_cap, config.norm_of_all_heads
        norms = [config.query_key_norm.build(channels) for channels in config.normed(width)] or [None, None]
        self.query_norm, self.key_norm = norms
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
        queries_BHTD = self._rotate(self._normed(self.query_norm, self.queries(hidden_BTC)), positions).transpose(1, 2)
        keys_BHTD = self._rotate(self._normed(self.key_norm, self.keys(hidden_BTC)), positions).transpose(1, 2)
        values_BHTD = self._heads(self.values(hidden_BTC)).transpose(1, 2)
        if state is not None:
            keys_BHTD, values_BHTD = state.extend(keys_BHTD, values_BHTD, seen.offset)
        return self.mix(queries_BHTD, keys_BHTD, values_BHTD, seen), state

    def mix(
        self, queries_BHTD: torch.Tensor, keys_BHTD: torch.Tensor, values_BHTD: torch.Tensor, seen: Seen
    ) -> torch.Tensor:
        """hidden_BTC: values, weighed by how queries and keys agree, and projected."""
        grouped = self.repeats > 1
        if grouped and (seen.mask is not None or self.soft_cap is not None):
            grouped = False  # on GPUs the one fused kernel that takes groups takes no mask
            keys_BHTD, values_BHTD = (x.repeat_interleave(self.repeats, dim=1) for x in (keys_BHTD, values_BHTD))
        dropout = self.dropout if self.training else 0.0
        if self.soft_cap is not None:
            mixed_BHTD = capped(queries_BHTD, keys_BHTD, values_BHTD, seen, self.scale, self.soft_cap, dropout)
        else:
            mixed_BHTD = F.scaled_dot_product_attention(
                queries_BHTD,
                keys_BHTD,
                values_BHTD,
                attn_mask=seen.mask,
                is_causal=seen.is_causal,
                dropout_p=dropout,
                scale=self.scale,
                enable_gqa=grouped,
            )
        projected_BTC: torch.Tensor = self.out(mixed_BHTD.transpose(1, 2).flatten(2))
        return projected_BTC

    def _heads(self, projected_BTC: torch.Tensor) -> torch.Tensor:
        """(B, T, heads, channels of one head)."""
        return projected_BTC.unflatten(-1, (-1, self.head_width))

    def _normed(self, norm: nn.Module | None, projected_BTC: torch.Tensor) -> torch.Tensor:
        """Queries or keys by heads, (B, T, heads, channels of one head). Whatever the norm computes in, they leave it
        in what the projection made, as values are."""
        if norm is None:
            return self._heads(projected_BTC)
        if self.norm_of_all_heads:
            return self._heads(norm(projected_BTC)).to(projected_BTC.dtype)
        normed_BTHD: torch.Tensor = norm(self._heads(projected_BTC))
        return normed_BTHD.to(projected_BTC.dtype)


def capped(
    queries_BHTD: torch.Tensor,
    keys_BHTD: torch.Tensor,
    values_BHTD: torch.Tensor,
    seen: Seen,
    scale: float | None,
    cap: float,
    dropout: float,
) -> torch.Tensor:
    """mixed_BHTD: softmax(cap · tanh(scale · QKᵀ / cap)) V (Gemma Team 2024, "Gemma 2", section 2), in float32 from
    tanh to softmax. No fused kernel of PyTorch has a cap, so the scores of all places are held."""
    scale = queries_BHTD.shape[-1] ** -0.5 if scale is None else scale
    scores_BHQK = (queries_BHTD @ keys_BHTD.transpose(-1, -2)).float()
    scores_BHQK = cap * torch.tanh(scores_BHQK * (scale / cap))
    mask = seen.mask
    if seen.is_causal:
        mask = torch.ones(scores_BHQK.shape[-2:], dtype=torch.bool, device=scores_BHQK.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        scores_BHQK = scores_BHQK.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        scores_BHQK = scores_BHQK + mask
    weights_BHQK = F.dropout(scores_BHQK.softmax(dim=-1).to(values_BHTD.dtype), dropout)
    return weights_BHQK @ values_BHTD
