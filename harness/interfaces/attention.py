"""What attentions of the plain kind have in common: four projections, and heads of equally many channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.config import ConfigError, option
from harness.interfaces.parts import AttentionConfig
from harness.interfaces.visibility import Causal, Condition, Full, NotBefore, SameDocument


def shared_out(width: int, heads: int) -> int:
    """Channels of each of so many heads. Raises ConfigError where they do not divide the width."""
    if width % heads:
        raise ConfigError(f"heads={heads} does not divide width={width}: choose a width that is a multiple.")
    return width // heads


@dataclass(kw_only=True)
class HeadsConfig(AttentionConfig):
    """Queries, keys and values of so many heads, and one projection of what is mixed of them: `harness.models.heads`
    is its module. What is mixed how, and what that costs, is left to whoever subclasses both."""

    heads: int = option(4, "heads", minimum=1)
    channels: int | None = option(None, "channels of one head; null: width / heads", neutral=None, minimum=1)
    bias: bool = option(False, "whether the projections have biases", neutral=False)

    def head_width(self, width: int) -> int:
        return self.channels or shared_out(width, self.heads)

    def mixed(self, width: int) -> int:
        """Channels of all heads together."""
        return self.heads * self.head_width(width)

    def parameters(self, width: int) -> int:
        mixed = self.mixed(width)
        return 4 * width * mixed + self.bias * (3 * mixed + width)

    def flops(self, width: int, sequence_length: int) -> int:
        return 8 * width * self.mixed(width) + self.mixing_flops(width, sequence_length)

    def mixing_flops(self, width: int, sequence_length: int) -> int:
        """Of all that stands between the projections, for one token."""
        raise NotImplementedError

    def divisible(self, width: int) -> int:
        return self.heads


@dataclass(kw_only=True)
class LinearHeadsConfig(HeadsConfig):
    """Attention whose weights are products of features of queries and keys, so that sums over the past stand for it:
    `harness.models.linear_attention` is its module. All between the projections is in float32."""

    visibilities: ClassVar[frozenset[type[Condition]]] = frozenset({Causal, Full, NotBefore, SameDocument})

    chunk: int = option(
        64, "places that are computed together by their weights; sums go from chunk to chunk", minimum=1
    )

    def features_of_head(self, width: int) -> int:
        """How many features a head's queries and keys become."""
        raise NotImplementedError

    def making_flops(self, width: int) -> int:
        """Of making the features of one token's queries and keys."""
        return 0

    def mixing_flops(self, width: int, sequence_length: int) -> int:
        """Of the causal form; a last chunk that is not full is filled up."""
        features, summed = self.features_of_head(width), self.head_width(width) + 1  # values, and a column of ones
        chunk = min(self.chunk, sequence_length)
        of_chunks = 2 * self.heads * (chunk * (features + summed) + 2 * features * summed)
        chunks = -(-sequence_length // chunk)
        return of_chunks * chunks * chunk // sequence_length + self.making_flops(width)

    def activations(self, width: int, sequence_length: int) -> int:
        """Input, and what the last projection takes."""
        return width + self.mixed(width)

    def float32(self, width: int, sequence_length: int) -> int:
        """Features, values and what is mixed of them, with columns of ones; weights; a chunk's share of sums."""
        features, summed = self.features_of_head(width), self.head_width(width) + 1
        chunk = min(self.chunk, sequence_length)
        of_head = 2 * summed + chunk + features * summed // chunk
        return self.heads * of_head + self.kept_features(width)

    def kept_features(self, width: int) -> int:
        """Numbers kept of one token for and of the features of its queries and keys."""
        raise NotImplementedError

    def products(self, width: int) -> int:
        """Queries, keys, values and the last projection; and, twice, since they are in float32, weights, what is mixed
        of them within and across chunks, and a chunk's share of sums."""
        features, summed = self.features_of_head(width), self.head_width(width) + 1
        of_head = self.chunk + 2 * summed + features * summed // self.chunk
        return 3 * self.mixed(width) + width + 2 * self.heads * of_head

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        """None: its decoding state is of one size, however many tokens are in it."""
        return 0
