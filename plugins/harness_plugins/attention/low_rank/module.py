"""Attention to a few sums of all places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from harness.interfaces.visibility import Causal
from harness.models.heads import Heads
from harness.models.position import Position
from harness.models.visibility import View, numbered_documents

if TYPE_CHECKING:
    from harness_plugins.attention.low_rank import LowRankConfig


class Documents(NamedTuple):
    """members_MBT: for each number of a document, the places of each row that have it, bool; padding is of none.
    places_BT: each place's number within its document, so that a document's sums are those that it has alone."""

    members_MBT: torch.Tensor
    places_BT: torch.Tensor


class LowRank(Heads):
    """softmax(Q(EK)ᵀ/√D) FV (Wang et al. 2020, equation 7): E and F, (rank, length), are shared by all heads."""

    roles = {"key_weights_RT": "matrix", "value_weights_RT": "matrix"}

    def __init__(self, config: LowRankConfig, width: int, position: Position) -> None:
        super().__init__(config, width, position)
        self.dropout = config.dropout
        self.key_weights_RT = nn.Parameter(torch.empty(config.rank, config.length))
        self.value_weights_RT = self.key_weights_RT
        if not config.shared_projection:
            self.value_weights_RT = nn.Parameter(torch.empty(config.rank, config.length))
        # Sums of a full row then begin as large as what they sum.
        self.starts = dict.fromkeys(self.roles, config.length**-0.5)
        for name in self.roles:
            nn.init.normal_(getattr(self, name), 0.0, self.starts[name])

    def start(self, batch: int, length: int) -> None:
        """It has no decoding state: sums over all places are not made place by place."""

    def lower(self, view: View) -> Documents | None:
        """What `forward` is told of the visibility; None: every place sees all."""
        assert Causal not in view.visibility.kinds(), "sums over all places hide none of them"
        return view.once("documents", lambda: _documents(view))

    def forward(
        self, hidden_BTC: torch.Tensor, positions: Any, seen: Documents | None, state: None = None
    ) -> tuple[torch.Tensor, None]:
        """positions: what `Position.prepare` made of this pass's places."""
        queries_BHTD, keys_BHTD, values_BHTD = self.projected(hidden_BTC, positions)
        places = hidden_BTC.shape[1]
        if seen is None:
            keys_BHRD = _sums(keys_BHTD, self.key_weights_RT[:, :places])
            values_BHRD = _sums(values_BHTD, self.value_weights_RT[:, :places])
            return self.joined(self._attend(queries_BHTD, keys_BHRD, values_BHRD)), None
        key_weights_BRT = self.key_weights_RT[:, seen.places_BT].transpose(0, 1)
        value_weights_BRT = self.value_weights_RT[:, seen.places_BT].transpose(0, 1)
        mixed_BHTD = torch.zeros_like(queries_BHTD)
        for members_BT in seen.members_MBT:
            keys_BHRD = _sums_of(keys_BHTD, key_weights_BRT, members_BT)
            values_BHRD = _sums_of(values_BHTD, value_weights_BRT, members_BT)
            own_BHTD = self._attend(queries_BHTD, keys_BHRD, values_BHRD)
            mixed_BHTD = torch.where(members_BT[:, None, :, None], own_BHTD, mixed_BHTD)
        return self.joined(mixed_BHTD), None

    def _attend(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout)


def _sums(x_BHTD: torch.Tensor, weights_RT: torch.Tensor) -> torch.Tensor:
    """(B, heads, rank, D)."""
    return F.linear(x_BHTD.transpose(2, 3), weights_RT).transpose(2, 3)


def _sums_of(x_BHTD: torch.Tensor, weights_BRT: torch.Tensor, members_BT: torch.Tensor) -> torch.Tensor:
    """Those of one document of each row, (B, heads, rank, D)."""
    return weights_BRT[:, None] @ x_BHTD.masked_fill(~members_BT[:, None, :, None], 0.0)


def _documents(view: View) -> Documents | None:
    documents_BT = numbered_documents(view.visibility, view.queries, view.device)
    if documents_BT is None:
        return None
    place_T = torch.arange(view.queries, device=view.device)
    begins_BT = documents_BT != documents_BT.roll(1, dims=1)
    begins_BT[:, 0] = True
    begin_BT = (place_T * begins_BT).cummax(dim=1).values
    numbers_M = documents_BT.unique()
    members_MBT = documents_BT == numbers_M[numbers_M >= 0, None, None]
    return Documents(members_MBT, place_T - begin_BT)
