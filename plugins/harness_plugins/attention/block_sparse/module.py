"""Attention that computes the blocks it sees and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from harness.models.cache import KeyValueCache
from harness.models.heads import Heads
from harness.models.position import Position
from harness.models.visibility import View
from harness_plugins.attention.block_sparse.pattern import Blocks, Dense, Pattern, lower

if TYPE_CHECKING:
    from harness_plugins.attention.block_sparse import BlockSparseConfig


class BlockSparse(Heads):
    """softmax(QKᵀ/√D) V over a few keys for each block of queries (Zaheer et al. 2020, appendix D): they are laid side
    by side, and each block is a row of an ordinary attention."""

    def __init__(self, config: BlockSparseConfig, width: int, position: Position) -> None:
        super().__init__(config, width, position)
        self.pattern = Pattern(config.block, config.local, config.global_places, config.random, config.key)
        self.dropout = config.dropout

    def start(self, batch: int, length: int) -> KeyValueCache:
        """An empty decoding state."""
        return KeyValueCache(length)

    def lower(self, view: View) -> Blocks | Dense:
        """What `forward` is told of the visibility."""
        return lower(view, self.pattern)

    def forward(
        self, hidden_BTC: torch.Tensor, positions: Any, seen: Blocks | Dense, state: KeyValueCache | None = None
    ) -> tuple[torch.Tensor, KeyValueCache | None]:
        """positions: what `Position.prepare` made of this pass's places."""
        queries_BHTD, keys_BHTD, values_BHTD = self.projected(hidden_BTC, positions)
        if state is not None:
            keys_BHTD, values_BHTD = state.extend(keys_BHTD, values_BHTD, seen.offset)
        if isinstance(seen, Dense):
            mixed_BHTD = self._attend(queries_BHTD, keys_BHTD, values_BHTD, seen.mask_B1QK)
        elif seen.turned_BT is None or seen.back_BT is None:
            mixed_BHTD = self._by_blocks(queries_BHTD, keys_BHTD, values_BHTD, seen)
        else:
            turned, keys, values = (_turned(x, seen.turned_BT) for x in (queries_BHTD, keys_BHTD, values_BHTD))
            mixed_BHTD = _turned(self._by_blocks(turned, keys, values, seen), seen.back_BT)
        return self.joined(mixed_BHTD), state

    def _by_blocks(
        self, queries_BHTD: torch.Tensor, keys_BHTD: torch.Tensor, values_BHTD: torch.Tensor, seen: Blocks
    ) -> torch.Tensor:
        rows, heads, places, channels = queries_BHTD.shape
        number, block = seen.mask_BN1SK.shape[1], self.pattern.block
        first = min(self.pattern.first, places)
        filled = (F.pad(x, (0, 0, 0, -places % block)) for x in (queries_BHTD, keys_BHTD, values_BHTD))
        queries_BNHSD, keys_BNHSD, values_BNHSD = (x.unflatten(2, (number, block)).transpose(1, 2) for x in filled)
        mixed_XHSD = self._attend(
            queries_BNHSD.flatten(0, 1),
            _laid_out(keys_BNHSD, keys_BHTD[:, :, :first], seen.blocks_X),
            _laid_out(values_BNHSD, values_BHTD[:, :, :first], seen.blocks_X),
            seen.mask_BN1SK.expand(rows, -1, -1, -1, -1).flatten(0, 1),
        )
        mixed_BNHSD = mixed_XHSD.unflatten(0, (rows, number))
        mixed_BHTD = mixed_BNHSD.transpose(1, 2).reshape(rows, heads, number * block, channels)[:, :, :places]
        if seen.wide_B1GT is None:
            return mixed_BHTD
        wide_BHGD = self._attend(queries_BHTD[:, :, :first], keys_BHTD, values_BHTD, seen.wide_B1GT)
        return torch.cat((wide_BHGD, mixed_BHTD[:, :, first:]), dim=2)

    def _attend(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=dropout)


def _laid_out(blocks_BNHSD: torch.Tensor, first_BHGD: torch.Tensor, seen_X: torch.Tensor) -> torch.Tensor:
    """For each block its keys or values, (B · N, heads, K, D): of the global places, and of the M blocks it sees."""
    number = blocks_BNHSD.shape[1]
    seen_BNMHSD = blocks_BNHSD.index_select(1, seen_X).unflatten(1, (number, -1))
    seen_BNHXD = seen_BNMHSD.transpose(2, 3).flatten(3, 4)
    first_BNHGD = first_BHGD[:, None].expand(-1, number, -1, -1, -1)
    return torch.cat((first_BNHGD, seen_BNHXD), dim=3).flatten(0, 1)


def _turned(x_BHTD: torch.Tensor, places_BT: torch.Tensor) -> torch.Tensor:
    """Each row in another order of its places."""
    return x_BHTD.gather(2, places_BT[:, None, :, None].expand_as(x_BHTD))
