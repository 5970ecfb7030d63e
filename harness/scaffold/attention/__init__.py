"""Multi-head attention (Vaswani et al. 2017) whose scores are multiplied by an option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.attention import HeadsConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(HeadsConfig):
    """Multi-head attention with a sharpness. Heads and projections, and what they cost, are those of `HeadsConfig`."""

    sharpness: float = option(1.0, "what scores are multiplied by, beside 1/√channels", minimum=0.0)

    def mixing_flops(self, width: int, sequence_length: int) -> int:
        """Queries by keys, weights by values."""
        return 4 * self.mixed(width) * sequence_length

    def activations(self, width: int, sequence_length: int) -> int:
        """Input, queries, keys, values and what is mixed of them; the fused kernels keep no weights."""
        return width + 4 * self.mixed(width)

    def products(self, width: int) -> int:
        return 4 * self.mixed(width) + width

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        """A key and a value."""
        return 2 * self.mixed(width) * bytes_per_number

    def build(self, width: int, position: Any) -> Any:
        from harness.scaffold.attention.idea import MineAttention

        return MineAttention(self, width, position)


@hookimpl
def register_attention() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.attention.conf"]
