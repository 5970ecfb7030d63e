"""Multi-head attention (Vaswani et al. 2017), with shared keys and values (Shazeer 2019; Ainslie et al. 2023)."""

import math
from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.parts import AttentionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MultiHeadConfig(AttentionConfig):
    heads: int = option(4, "heads of the queries", minimum=1)
    key_value_heads: int | None = option(
        None, "heads of keys and values; null: as many as heads; 1: multi-query; between: grouped-query", minimum=1
    )
    channels: int | None = option(None, "channels of one head; null: width / heads", neutral=None, minimum=1)
    window: int | None = option(None, "nearest places that are seen, in tokens; null: all", minimum=1)
    bias: bool = option(False, "whether the projections have biases")
    dropout: float = option(0.0, "share of attention weights dropped in training", minimum=0.0, maximum=1.0)

    def check(self) -> None:
        if self.heads % self.shared_heads:
            raise ConfigError(
                f"key_value_heads={self.key_value_heads} does not divide heads={self.heads}: "
                "each head of keys and values serves the same number of queries' heads."
            )

    @property
    def shared_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.key_value_heads is None else self.key_value_heads

    def head_width(self, width: int) -> int:
        if self.channels is None and width % self.heads:
            raise ConfigError(f"heads={self.heads} does not divide width={width}: choose a width that is a multiple.")
        return self.channels or width // self.heads

    def parameters(self, width: int) -> int:
        projected, mixed = self._projected(width), self.heads * self.head_width(width)
        return width * projected + mixed * width + self.bias * (projected + width)

    def flops(self, width: int, sequence_length: int) -> int:
        mixed = self.heads * self.head_width(width)
        projections = 2 * width * (self._projected(width) + mixed)
        return projections + 4 * mixed * sequence_length  # queries by keys, weights by values

    def activations(self, width: int, sequence_length: int) -> int:
        """Input, queries, keys, values and output; the fused kernels keep no attention weights."""
        return width + self.heads * self.head_width(width) + self._projected(width)

    def products(self, width: int) -> int:
        """Queries, keys, values, what is mixed of them, and its projection."""
        return self._projected(width) + self.heads * self.head_width(width) + width

    def divisible(self, width: int) -> int:
        return math.gcd(self.heads, self.shared_heads)

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        """A window narrows what is seen, not what is kept."""
        return 2 * self.shared_heads * self.head_width(width) * bytes_per_number

    def _projected(self, width: int) -> int:
        """Channels of queries, keys and values together."""
        return (self.heads + 2 * self.shared_heads) * self.head_width(width)

    def build(self, width: int, position: Any) -> Any:
        from harness_plugins.attention.multi_head.module import MultiHead

        return MultiHead(self, width, position)


@hookimpl
def register_attention() -> dict[str, type]:
    return {"multi_head": MultiHeadConfig}
