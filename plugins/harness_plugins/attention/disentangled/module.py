"""Scores of contents and of positions, added up under one softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.models.cache import KeyValueCache
from harness.models.visibility import Seen, View

if TYPE_CHECKING:
    from harness_plugins.attention.disentangled import DisentangledConfig


class Disentangled(nn.Module):
    """softmax((Q Kᵀ + Q Krᵀ + K Qrᵀ) / √(3D)) V (He et al. 2021, equation 4), where Kr and Qr are keys and queries of
    the vector that stands for the distance from key to query. √(2D) where one of the last two terms is left out.

    The paper takes the distance from query to key for the last term; its authors' code, and every model that was
    released, takes the same for both.
    """

    writes = ("out.weight",)

    def __init__(self, config: DisentangledConfig, width: int, position: Any) -> None:
        super().__init__()
        self.config, self.head_width = config, config.head_width(width)
        self.scale = ((1 + config.terms) * self.head_width) ** -0.5
        self.queries = nn.Linear(width, width, bias=config.bias)
        self.keys = nn.Linear(width, width, bias=config.bias)
        self.values = nn.Linear(width, width, bias=config.bias)
        self.out = nn.Linear(width, width, bias=config.bias)
        if not config.shared and config.content_to_position:
            self.position_keys = nn.Linear(width, width, bias=config.bias)
        if not config.shared and config.position_to_content:
            self.position_queries = nn.Linear(width, width, bias=config.bias)
        self._rows = position.rows  # a bound method: the position belongs to the body, not to each layer

    def start(self, batch: int, length: int) -> KeyValueCache:
        """An empty decoding state."""
        return KeyValueCache(length)

    def lower(self, view: View) -> Seen:
        """What `forward` is told of the visibility."""
        return view.lower()

    def forward(
        self, hidden_BTC: torch.Tensor, vectors_RC: torch.Tensor, seen: Seen, state: KeyValueCache | None = None
    ) -> tuple[torch.Tensor, KeyValueCache | None]:
        """vectors_RC: of each row of the position's table."""
        projected = (self.queries(hidden_BTC), self.keys(hidden_BTC), self.values(hidden_BTC))
        queries_BHTD, keys_BHTD, values_BHTD = (self._heads(each_BTC) for each_BTC in projected)
        if state is not None:
            keys_BHTD, values_BHTD = state.extend(keys_BHTD, values_BHTD, seen.offset)
        mixed_BHTD = F.scaled_dot_product_attention(
            queries_BHTD,
            keys_BHTD,
            values_BHTD,
            attn_mask=masked(self.scale * self._of_positions(queries_BHTD, keys_BHTD, vectors_RC, seen.offset), seen),
            dropout_p=self.config.dropout if self.training else 0.0,
            scale=self.scale,
        )
        return self.out(mixed_BHTD.transpose(1, 2).flatten(2)), state

    def _of_positions(
        self, queries_BHQD: torch.Tensor, keys_BHKD: torch.Tensor, vectors_RC: torch.Tensor, offset: int
    ) -> torch.Tensor:
        """What positions add to the scores, (B, H, Q, K): each product with all rows of the table, of which every pair
        of places takes that of its distance."""
        vectors_RC = F.dropout(vectors_RC, self.config.position_dropout, self.training)
        rows_QK = self._rows(queries_BHQD.shape[2], offset, queries_BHQD.device)
        added = []
        if self.config.content_to_position:
            keys = self.keys if self.config.shared else self.position_keys
            met_BHQR = torch.einsum("bhqd,hrd->bhqr", queries_BHQD, self._heads(keys(vectors_RC)))
            added.append(met_BHQR.gather(-1, rows_QK.expand(*met_BHQR.shape[:2], -1, -1)))
        if self.config.position_to_content:
            queries = self.queries if self.config.shared else self.position_queries
            met_BHKR = torch.einsum("bhkd,hrd->bhkr", keys_BHKD, self._heads(queries(vectors_RC)))
            added.append(met_BHKR.gather(-1, rows_QK.T.expand(*met_BHKR.shape[:2], -1, -1)).transpose(-1, -2))
        return sum(added[1:], added[0])

    def _heads(self, projected_TC: torch.Tensor) -> torch.Tensor:
        """(…, heads, T, channels of one head)."""
        return projected_TC.unflatten(-1, (-1, self.head_width)).transpose(-2, -3)


def masked(scores_BHQK: torch.Tensor, seen: Seen) -> torch.Tensor:
    """The scores, −∞ where a query does not see a key."""
    mask = seen.mask
    if seen.is_causal:
        mask = torch.ones(scores_BHQK.shape[-2:], dtype=torch.bool, device=scores_BHQK.device).tril()
    return scores_BHQK if mask is None else scores_BHQK.masked_fill(~mask, -torch.inf)
