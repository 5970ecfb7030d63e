"""What flows through the loop: sequences from the shards, and the batches a method makes of them.

Letters of shapes: B rows, T places, C channels, V vocabulary, H heads, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

#: The generator of every random choice about place i of the endless stream, keyed by (data seed, i).
Randomness = Callable[[int], "np.random.Generator"]


#: The part of a token in its example: the prompt's or another speaker's; the answer's, of the n-th answer `ANSWER` + n;
#: none at all, behind the last example of a row.
CONTEXT, ANSWER, PADDING = 0, 1, 255


@dataclass
class Sequences:
    """Rows cut from the shards, as numpy arrays.

    tokens_BS: int64, S = sequence_length + 1, so that inputs and targets can be shifted against each other; of single
    examples, as wide as the longest.
    documents_BS: int64, the document of each token, counted from 0 within its row; an end token belongs to the
    document that it opens, so that it stands there as before an empty context.
    places_B: int64, each row's place in the endless stream.
    parts_BS: of examples, uint8, as above; where it is `PADDING`, tokens are 0. numbers_B: of single examples, int64,
    their numbers in the corpus `sources_B`, counted as the mixture does.
    """

    tokens_BS: np.ndarray
    documents_BS: np.ndarray
    places_B: np.ndarray
    parts_BS: np.ndarray | None = None
    numbers_B: np.ndarray | None = None
    sources_B: np.ndarray | None = None

    def rows(self, which: slice | np.ndarray) -> Sequences:
        """Some of them."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: value[which] for name, value in own.items() if value is not None})


@dataclass
class Batch:
    """One micro-batch on a device.

    inputs_BT, targets_BT: int64. weights_BT: float32, how much each target counts (0: not at all).
    positions_BT: int64 or None for 0…T−1. documents_BT: int64, or None where attention crosses documents.
    places_B: int64, places in the endless stream. extra: tensors of the method's own.
    """

    inputs_BT: torch.Tensor
    targets_BT: torch.Tensor
    weights_BT: torch.Tensor
    places_B: torch.Tensor
    positions_BT: torch.Tensor | None = None
    documents_BT: torch.Tensor | None = None
    extra: dict[str, torch.Tensor] = field(default_factory=dict)

    def to(self, device: Any) -> Batch:
        """The same batch with every tensor on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        moved = {name: None if value is None else value.to(device) for name, value in moved.items()}
        return Batch(**moved, extra={name: value.to(device) for name, value in self.extra.items()})
