"""Samplers: logits to the next token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.config import PluginConfig

if TYPE_CHECKING:
    import torch


class Sampler(Protocol):
    def __call__(self, logits_BV: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """The next token of each row, tokens_B int64."""
        ...


@dataclass(kw_only=True)
class SamplerConfig(PluginConfig):
    def build(self) -> Sampler:
        raise NotImplementedError
