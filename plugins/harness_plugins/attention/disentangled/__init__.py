"""Disentangled attention (He et al. 2021, "DeBERTa"): contents look at contents and at positions, and positions at
contents."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.attention import shared_out
from harness.interfaces.parts import AttentionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class DisentangledConfig(AttentionConfig):
    heads: int = option(4, "heads", minimum=1)
    bias: bool = option(True, "whether the projections have biases")
    content_to_position: bool = option(True, "whether queries of contents meet keys of positions")
    position_to_content: bool = option(True, "whether queries of positions meet keys of contents")
    shared: bool = option(
        True,
        "whether positions go through the projections of contents (DeBERTa-v2) and have none of their own (DeBERTa)",
    )
    dropout: float = option(0.0, "share of attention weights dropped in training", minimum=0.0, maximum=1.0)
    position_dropout: float = option(
        0.0, "share of the channels of positions dropped in training, in each layer others", minimum=0.0, maximum=1.0
    )

    def check(self) -> None:
        if not self.terms:
            raise ConfigError(
                "content_to_position=false and position_to_content=false leave no positions: say attention=multi_head "
                "and position=none."
            )

    @property
    def terms(self) -> int:
        """How many of the scores' terms are of positions."""
        return self.content_to_position + self.position_to_content

    def check_position(self, position: Any) -> None:
        if not position.disentangled:
            raise ConfigError(
                f"attention=disentangled projects a table of distances, and position={position.name} has none: say "
                "position=disentangled, or choose another attention."
            )

    def head_width(self, width: int) -> int:
        return shared_out(width, self.heads)

    def parameters(self, width: int) -> int:
        matrices = 4 if self.shared else 4 + self.terms
        return matrices * (width * width + self.bias * width)

    def flops(self, width: int, sequence_length: int) -> int:
        return 8 * width * width + 4 * width * sequence_length

    def position_flops(self, position: Any, width: int, sequence_length: int) -> int:
        """Queries and keys by the table's vectors, and the share of one token in projecting these, as if each row had
        to itself what all rows of a batch share."""
        met = 2 * width * position.rows
        return self.terms * (met + met * width // sequence_length)

    def activations(self, width: int, sequence_length: int) -> int:
        """Input, queries, keys, values and output, and queries and keys once more, in the order of the products with
        positions."""
        return (5 + self.terms) * width

    def scores(self, sequence_length: int) -> int:
        """On CPU no fused kernel takes a bias that learns."""
        return self.heads * sequence_length

    def products(self, width: int) -> int:
        """Queries, keys, values, what is mixed of them, and its projection."""
        return 5 * width

    def position_products(self, position: Any) -> int:
        return self.terms * self.heads * position.rows

    def divisible(self, width: int) -> int:
        """The table and its norm are the same for all heads, and would be learned from each rank's own."""
        return 1

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        return 2 * width * bytes_per_number

    def build(self, width: int, position: Any) -> Any:
        from harness_plugins.attention.disentangled.module import Disentangled

        return Disentangled(self, width, position)


@hookimpl
def register_attention() -> dict[str, type]:
    return {"disentangled": DisentangledConfig}
