"""The key–value cache: decoding state of one attention layer."""

from __future__ import annotations

import torch


class KeyValueCache:
    """Keys and values of the places so far, in memory that is set aside once.

    rows, places: the most it holds. Nothing is kept of gradients.
    """

    def __init__(self, rows: int, heads: int, places: int, head_width: int, like: torch.Tensor) -> None:
        self.keys_BHTD = torch.empty(rows, heads, places, head_width, dtype=like.dtype, device=like.device)
        self.values_BHTD = torch.empty_like(self.keys_BHTD)

    def extend(
        self, keys_BHTD: torch.Tensor, values_BHTD: torch.Tensor, offset: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes the places offset … and returns the keys and values of all places up to them."""
        end = offset + keys_BHTD.shape[2]
        assert end <= self.keys_BHTD.shape[2], f"the cache holds {self.keys_BHTD.shape[2]} places, not {end}"
        self.keys_BHTD[:, :, offset:end] = keys_BHTD
        self.values_BHTD[:, :, offset:end] = values_BHTD
        return self.keys_BHTD[:, :, :end], self.values_BHTD[:, :, :end]
