"""Multi-head attention (Vaswani et al. 2017), with shared keys and values (Shazeer 2019; Ainslie et al. 2023)."""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option, slot
from harness.interfaces.attention import shared_out
from harness.interfaces.parts import AttentionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MultiHeadConfig(AttentionConfig):
    takes_bias: ClassVar[bool] = True
    crosses: ClassVar[bool] = True

    heads: int = option(4, "heads of the queries", minimum=1)
    key_value_heads: int | None = option(
        None, "heads of keys and values; null: as many as heads; 1: multi-query; between: grouped-query", minimum=1
    )
    channels: int | None = option(None, "channels of one head; null: width / heads", neutral=None, minimum=1)
    window: int | None = option(None, "nearest places that are seen, in tokens; null: all", minimum=1)
    bias: bool = option(False, "whether the projections have biases")
    out_bias: bool | None = option(
        None, "whether the last projection has one; null: as bias says (Qwen 2 has biases on all but this)",
        neutral=None,
    )  # fmt: skip
    scale: float | None = option(
        None, "what products of queries and keys are multiplied by; null: 1/√channels", neutral=None
    )
    soft_cap: float | None = option(
        None, "these products become cap · tanh(product / cap) (Gemma 2); null: they stay as they are. It costs memory "
        "that grows with the square of the sequence", neutral=None,
    )  # fmt: skip
    query_key_norm: Any = slot("norm", "of queries and keys before they are turned; null: none", optional=True)
    norm_of_all_heads: bool = option(
        False, "whether that norm is one of all heads' channels (OLMo 2), and not one of each head's (Qwen 3)",
        neutral=False,
    )  # fmt: skip
    dropout: float = option(0.0, "share of attention weights dropped in training", minimum=0.0, maximum=1.0)

    def check(self) -> None:
        if self.heads % self.shared_heads:
            raise ConfigError(
                f"key_value_heads={self.key_value_heads} does not divide heads={self.heads}: "
                "each head of keys and values serves the same number of queries' heads."
            )
        if self.soft_cap is not None and self.soft_cap <= 0.0:
            raise ConfigError(f"soft_cap={self.soft_cap} is no bound: give a number above 0, or null.")
        if self.norm_of_all_heads and self.query_key_norm is None:
            raise ConfigError("norm_of_all_heads=true is of query_key_norm, which is null: choose a norm for it.")

    @property
    def shared_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.key_value_heads is None else self.key_value_heads

    @property
    def biased_out(self) -> bool:
        return self.bias if self.out_bias is None else self.out_bias

    def head_width(self, width: int) -> int:
        return self.channels or shared_out(width, self.heads)

    def at_width(self, width: int, base_channels: int) -> Any:
        """Products of queries and keys that have learned to agree grow as the channels do, not as their root: they are
        multiplied by 1/channels (Yang et al. 2022, definition 4.1), at the base by what `scale` says."""
        at_base = base_channels**-0.5 if self.scale is None else self.scale
        return replace(self, scale=at_base * base_channels / self.head_width(width))

    def computes(self, width: int) -> dict[str, Any]:
        channels = self.head_width(width)
        resolved = {
            "channels": channels,
            "key_value_heads": self.shared_heads,
            "out_bias": self.biased_out,
            "scale": channels**-0.5 if self.scale is None else self.scale,
        }
        return {**super().computes(width), **resolved}

    def parameters(self, width: int) -> int:
        projected, mixed = self._projected(width), self.heads * self.head_width(width)
        biases = self.bias * projected + self.biased_out * width
        norms = sum(self.query_key_norm.parameters(channels) for channels in self.normed(width))
        return width * projected + mixed * width + biases + norms

    def flops(self, width: int, sequence_length: int) -> int:
        mixed = self.heads * self.head_width(width)
        projections = 2 * width * (self._projected(width) + mixed)
        return projections + 4 * mixed * sequence_length  # queries by keys, weights by values

    def cross_flops(self, width: int, sequence_length: int, source_length: int) -> int:
        mixed = self.heads * self.head_width(width)
        of_source = 2 * width * (self._projected(width) - mixed) * source_length // sequence_length  # keys and values
        return 4 * width * mixed + of_source + 4 * mixed * source_length

    def activations(self, width: int, sequence_length: int) -> int:
        """Input, queries, keys, values and output, and what the norms of queries and keys keep; the fused kernels keep
        no attention weights."""
        turned = (self.heads + self.shared_heads) * self.head_width(width)
        norms = 0 if self.query_key_norm is None else self.query_key_norm.activations(turned)
        return width + self.heads * self.head_width(width) + self._projected(width) + norms

    def scores(self, sequence_length: int) -> int:
        return 0 if self.soft_cap is None else self.heads * sequence_length

    def products(self, width: int) -> int:
        """Queries, keys, values, what is mixed of them, and its projection."""
        return self._projected(width) + self.heads * self.head_width(width) + width

    def divisible(self, width: int) -> int:
        """Gains of a norm would be learned from each rank's own heads, so with one nothing can be cut."""
        return 1 if self.query_key_norm is not None else math.gcd(self.heads, self.shared_heads)

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        """A window narrows what is seen, not what is kept."""
        return 2 * self.shared_heads * self.head_width(width) * bytes_per_number

    def _projected(self, width: int) -> int:
        """Channels of queries, keys and values together."""
        return (self.heads + 2 * self.shared_heads) * self.head_width(width)

    def normed(self, width: int) -> tuple[int, ...]:
        """Channels that a norm of the queries and one of the keys sees at once; none without one."""
        if self.query_key_norm is None:
            return ()
        queries, keys = (self.heads, self.shared_heads) if self.norm_of_all_heads else (1, 1)
        return queries * self.head_width(width), keys * self.head_width(width)

    def build(self, width: int, position: Any) -> Any:
        from harness_plugins.attention.multi_head.module import MultiHead

        return MultiHead(self, width, position)

    def build_cross(self, width: int) -> Any:
        from harness_plugins.attention.multi_head.cross import MultiHeadCross

        return MultiHeadCross(self, width)


@hookimpl
def register_attention() -> dict[str, type]:
    return {"multi_head": MultiHeadConfig}
