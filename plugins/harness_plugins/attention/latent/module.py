"""Multi-head latent attention: keys and values that are made anew of what little the decoding state keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.models.position import Position
from harness.models.visibility import Seen, View

if TYPE_CHECKING:
    from harness_plugins.attention.latent import LatentConfig


class LatentCache:
    """For each place so far its latent and its turned key, L channels together, in memory that is set aside once."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._kept_BTL: torch.Tensor | None = None

    def extend(self, kept_BTL: torch.Tensor, offset: int) -> torch.Tensor:
        """Writes the places from `offset` on; returns those of all places up to the last one written."""
        rows, places, channels = kept_BTL.shape
        end = offset + places
        assert end <= self.places, f"the cache holds {self.places} places, not {end}"
        if self._kept_BTL is None:
            self._kept_BTL = kept_BTL.new_empty(rows, self.places, channels)
        self._kept_BTL[:, offset:end] = kept_BTL
        return self._kept_BTL[:, :end]


class LatentAttention(nn.Module):
    """DeepSeek-V2, equations 37–47: c = norm(W x), [k; v] = U c by heads; a head's query and key are [q; R q'] and
    [k; R k'], of which k' is the same for all heads and R turns by place."""

    #: Names of the parameters whose product is added to the residual stream.
    writes = ("out.weight",)

    def __init__(self, config: LatentConfig, width: int, position: Position) -> None:
        super().__init__()
        self.heads, self.window, self.dropout = config.heads, config.window, config.dropout
        self.still, self.turned, self.valued = config.still(width), config.turned_channels, config.valued(width)
        self.latent = config.latent
        self.scale = config.matched(width) ** -0.5 if config.scale is None else config.scale
        given = config.query_latent or width
        if config.query_latent is not None:
            self.query_down = nn.Linear(width, given, bias=False)
            self.query_norm = config.latent_norm.build(given)
        self.has_query_latent = config.query_latent is not None
        self.queries = nn.Linear(given, self.heads * (self.still + self.turned), bias=False)
        self.key_value_down = nn.Linear(width, self.latent + self.turned, bias=False)
        self.key_value_norm = config.latent_norm.build(self.latent)
        self.key_value_up = nn.Linear(self.latent, self.heads * (self.still + self.valued), bias=False)
        self.out = nn.Linear(self.heads * self.valued, width, bias=False)
        self._rotate = position.rotate  # a bound method: the position belongs to the body, not to each layer

    def start(self, batch: int, length: int) -> LatentCache:
        """An empty decoding state."""
        return LatentCache(length)

    def lower(self, view: View) -> Seen:
        """What `forward` is told of the visibility."""
        return view.lower(self.window)

    def forward(
        self, hidden_BTC: torch.Tensor, positions: Any, seen: Seen, state: LatentCache | None = None
    ) -> tuple[torch.Tensor, LatentCache | None]:
        """positions: what `Position.prepare` made of this pass's places."""
        queries_BTHD = self._queries(hidden_BTC, positions)
        latent_BTL, shared_BTR = self._compressed(hidden_BTC, positions)
        if state is not None:
            kept_BTL = state.extend(torch.cat((latent_BTL, shared_BTR), dim=-1), seen.offset)
            latent_BTL, shared_BTR = kept_BTL.split((self.latent, self.turned), dim=-1)
        still_BTHD, values_BTHD = self._by_heads(self.key_value_up(latent_BTL)).split((self.still, self.valued), dim=-1)
        shared_BTHR = shared_BTR[:, :, None].expand(-1, -1, self.heads, -1)
        keys_BTHD = torch.cat((still_BTHD, shared_BTHR), dim=-1)
        # The fused kernels take values that are as wide as queries and keys; channels of zeros change nothing.
        widest = max(keys_BTHD.shape[-1], self.valued)
        queries_BHTD, keys_BHTD, values_BHTD = (
            _widened(heads_BTHD, widest).transpose(1, 2) for heads_BTHD in (queries_BTHD, keys_BTHD, values_BTHD)
        )
        mixed_BHTD = F.scaled_dot_product_attention(
            queries_BHTD,
            keys_BHTD,
            values_BHTD,
            attn_mask=seen.mask,
            is_causal=seen.is_causal,
            dropout_p=self.dropout if self.training else 0.0,
            scale=self.scale,
        )
        return self.out(mixed_BHTD[..., : self.valued].transpose(1, 2).flatten(2)), state

    def _queries(self, hidden_BTC: torch.Tensor, positions: Any) -> torch.Tensor:
        """(B, T, heads, still + turned)."""
        if self.has_query_latent:
            hidden_BTC = _normed(self.query_norm, self.query_down(hidden_BTC))
        still_BTHD, turned_BTHR = self._by_heads(self.queries(hidden_BTC)).split((self.still, self.turned), dim=-1)
        return torch.cat((still_BTHD, self._rotate(turned_BTHR, positions)), dim=-1)

    def _compressed(self, hidden_BTC: torch.Tensor, positions: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """What is kept of these places: latent_BTL, normed, and shared_BTR, the key that all heads share, turned."""
        latent_BTL, shared_BTR = self.key_value_down(hidden_BTC).split((self.latent, self.turned), dim=-1)
        turned_BTR = self._rotate(shared_BTR[:, :, None], positions)[:, :, 0]
        return _normed(self.key_value_norm, latent_BTL), turned_BTR

    def _by_heads(self, projected_BTC: torch.Tensor) -> torch.Tensor:
        return projected_BTC.unflatten(-1, (self.heads, -1))


def _normed(norm: nn.Module, latent_BTL: torch.Tensor) -> torch.Tensor:
    """Whatever the norm computes in, in what the projection made."""
    normed_BTL: torch.Tensor = norm(latent_BTL)
    return normed_BTL.to(latent_BTL.dtype)


def _widened(heads_BTHD: torch.Tensor, channels: int) -> torch.Tensor:
    missing = channels - heads_BTHD.shape[-1]
    return F.pad(heads_BTHD, (0, missing)) if missing else heads_BTHD
