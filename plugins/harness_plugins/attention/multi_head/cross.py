"""Multi-head attention to another text: queries of this one, keys and values of that (Vaswani et al. 2017, §3.2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness.models.cache import ContextCache
from harness.models.position import Position
from harness.models.visibility import Seen
from harness_plugins.attention.multi_head.module import MultiHead

if TYPE_CHECKING:
    from harness_plugins.attention.multi_head import MultiHeadConfig


class MultiHeadCross(MultiHead):
    """The same matrices as `MultiHead`, and no positions: places of two texts have no distance."""

    def __init__(self, config: MultiHeadConfig, width: int) -> None:
        super().__init__(config, width, Position())

    def start(self) -> ContextCache:  # type: ignore[override]  # the other text's length is not known yet
        """An empty decoding state."""
        return ContextCache()

    def forward(  # type: ignore[override]  # the other text stands where positions stood
        self, hidden_BTC: torch.Tensor, context_BSC: torch.Tensor, seen: Seen, state: ContextCache | None = None
    ) -> tuple[torch.Tensor, ContextCache | None]:
        """seen: as `View.cross` makes it. Keys and values of a text are made once for all tokens that are written."""
        queries_BHTD = self._normed(self.query_norm, self.queries(hidden_BTC)).transpose(1, 2)
        if state is None or state.kept is None:
            keys_BHSD = self._normed(self.key_norm, self.keys(context_BSC)).transpose(1, 2)
            values_BHSD = self._heads(self.values(context_BSC)).transpose(1, 2)
            if state is not None:
                state.kept = keys_BHSD, values_BHSD
        else:
            keys_BHSD, values_BHSD = state.kept
        return self.mix(queries_BHTD, keys_BHSD, values_BHSD, seen), state
