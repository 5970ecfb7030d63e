"""Low-rank attention: Linformer (Wang et al. 2020)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.attention import HeadsConfig
from harness.interfaces.visibility import Condition, Full, NotBefore, SameDocument

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LowRankConfig(HeadsConfig):
    """Each of the `rank` keys is a sum over all places, so none can be hidden from a place that comes before another:
    it cannot do `Causal`. A document has keys of its own, which cost as much as those of the whole row."""

    visibilities: ClassVar[frozenset[type[Condition]]] = frozenset({Full, NotBefore, SameDocument})

    rank: int = option(64, "keys and values that those of all places become", minimum=1)
    length: int = option(512, "longest sequence, in tokens: every place has its own weights in these sums", minimum=1)
    shared_projection: bool = option(
        False, "whether keys and values have the same weights (Wang et al. 2020, section 4)", neutral=False
    )
    dropout: float = option(0.0, "share of attention weights dropped in training", minimum=0.0, maximum=1.0)

    def maximum_length(self) -> int:
        return self.length

    def parameters(self, width: int) -> int:
        return super().parameters(width) + (1 if self.shared_projection else 2) * self.rank * self.length

    def mixing_flops(self, width: int, sequence_length: int) -> int:
        """Sums of keys and of values, queries by keys, and weights by values; in rows of one document."""
        return 8 * self.mixed(width) * self.rank

    def activations(self, width: int, sequence_length: int) -> int:
        """Input, queries, keys and values turned round for their sums, these, and the result."""
        sums = 2 * self.mixed(width) * self.rank // sequence_length
        return width + 4 * self.mixed(width) + sums

    def products(self, width: int) -> int:
        """Queries, keys, values, what is mixed of them, and its projection; the sums of a whole row are few."""
        return 4 * self.mixed(width) + width

    def divisible(self, width: int) -> int:
        """All heads share the weights of places, which would be learned from each rank's own heads."""
        return 1

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        """None: what is not causal is not decoded."""
        return 0

    def build(self, width: int, position: Any) -> Any:
        from harness_plugins.attention.low_rank.module import LowRank

        return LowRank(self, width, position)


@hookimpl
def register_attention() -> dict[str, type]:
    return {"low_rank": LowRankConfig}
