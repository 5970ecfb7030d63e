"""What every `position` plugin builds: how places know where they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Position(nn.Module):
    """Does nothing; a position plugin overrides what it needs. One object serves all layers.

    ``positions`` is int64 of shape (B, T), or (T) where all rows count alike.
    """

    def embed(self, embeddings_BTC: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The embeddings with their places added. Called once in a forward pass."""
        return embeddings_BTC

    def prepare(self, positions: torch.Tensor) -> Any:
        """What `rotate` needs of these places. Called once in a forward pass, for all layers."""
        return None

    def bias(self, queries: int, offset: int, causal: bool, device: torch.device) -> torch.Tensor | None:
        """What is added to the scores (before the softmax, after the division by √D), float of shape
        (1, heads, queries, offset + queries); None: nothing. Called once in a forward pass, for all layers.

        Query q stands at place offset + q, key k at place k. It may depend on their distance only: rows of packed
        documents and of padding on the left count from elsewhere. causal: no place sees one behind it.
        """
        return None

    def rotate(self, heads_BTHD: torch.Tensor, prepared: Any) -> torch.Tensor:
        """Queries or keys turned by their place."""
        return heads_BTHD
