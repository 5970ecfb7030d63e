"""Block-sparse attention: local and global (Longformer, Beltagy et al. 2020), random (BigBird, Zaheer et al. 2020)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.attention import HeadsConfig
from harness.interfaces.visibility import Causal, Condition, Full, NotBefore, SameDocument

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class BlockSparseConfig(HeadsConfig):
    """A place sees what its block sees: blocks nearby, some at random, and the first places of the row, which without
    `Causal` see everything. Places are counted in the row, behind its padding; of those, the visibility allows some."""

    visibilities: ClassVar[frozenset[type[Condition]]] = frozenset({Causal, Full, NotBefore, SameDocument})

    block: int = option(64, "places in a block", minimum=1)
    local: int = option(1, "neighbouring blocks that a block sees on either side", minimum=0)
    global_places: int = option(1, "places at the row's beginning that all see and that see all", minimum=0)
    random: int = option(0, "further blocks that a block sees, drawn at random (BigBird)", minimum=0)
    key: int = option(0, "which random blocks are drawn", minimum=0)
    dropout: float = option(0.0, "share of attention weights dropped in training", minimum=0.0, maximum=1.0)

    def keys_of_block(self, sequence_length: int) -> int:
        """How many keys the places of one block are compared with under `Causal`."""
        others = -(-sequence_length // self.block) - 1
        local = min(self.local, others)
        blocks = 1 + local + min(self.random, others - local)
        return min(self.global_places, sequence_length) + blocks * self.block

    def mixing_flops(self, width: int, sequence_length: int) -> int:
        """Of the causal form; a last block that is not full is filled up."""
        places = -(-sequence_length // self.block) * self.block
        return 4 * self.mixed(width) * self.keys_of_block(sequence_length) * places // sequence_length

    def activations(self, width: int, sequence_length: int) -> int:
        """Input, queries, what the kernel and the last projection keep of the result, and the keys and values that are
        laid out for each block."""
        laid_out = 2 * self.mixed(width) * self.keys_of_block(sequence_length) // self.block
        return width + 3 * self.mixed(width) + laid_out

    def products(self, width: int) -> int:
        """Queries, keys, values, what is mixed of them, and its projection."""
        return 4 * self.mixed(width) + width

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        return 2 * self.mixed(width) * bytes_per_number

    def build(self, width: int, position: Any) -> Any:
        from harness_plugins.attention.block_sparse.module import BlockSparse

        return BlockSparse(self, width, position)


@hookimpl
def register_attention() -> dict[str, type]:
    return {"block_sparse": BlockSparseConfig}
