"""What recurrent architectures have in common, without torch: residual layers around what mixes places.

A plugin's own are its mixers, and what they count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.config import option, slot
from harness.interfaces.architecture import ArchitectureConfig, PartCount
from harness.interfaces.visibility import Causal, Condition, NotBefore, SameDocument

if TYPE_CHECKING:
    from torch import nn

#: The distributions of the kernels in `harness.models.recurrent.kernels`.
KERNELS = ("fla-core", "triton")


@dataclass(kw_only=True)
class RecurrentConfig(ArchitectureConfig):
    """Base of architectures whose layers carry a state of constant size from place to place.

    Each layer adds to the residual stream what its mixers make of it, one after the other, x + mixer(norm(x)), and then
    its feedforward where the architecture has a slot of that name.
    """

    visibilities: ClassVar[frozenset[type[Condition]]] = frozenset({Causal, SameDocument, NotBefore})
    #: Whether a norm follows the embeddings.
    embedding_norm: ClassVar[bool] = False
    #: Standard deviation of the embeddings at the start; None: `init_std`.
    embedding_std: ClassVar[float | None] = None

    width: int = option(64, "channels of the residual stream", minimum=1)
    layers: int = option(4, "layers", minimum=1)
    norm: Any = slot("norm", "normalisation before all that a layer adds, and after the last layer")
    head: Any = slot("head", "hidden states to what the method needs")
    residual_dropout: float = option(
        0.0, "share of the channels of all that a layer adds that are dropped in training", minimum=0.0, maximum=1.0
    )
    init_std: float = option(0.02, "standard deviation of matrices and embeddings at the start", minimum=0.0)
    init_scale_residual: bool = option(
        True, "whether matrices that write to the residual stream start smaller by √(what is added to it in all layers)"
    )

    def mixers(self, layer: int) -> Mapping[str, nn.Module]:
        """What mixes places in one layer, by name, in order: as `harness.models.recurrent.body` calls them."""
        raise NotImplementedError

    def mixer_counts(self, sequence_length: int) -> list[PartCount]:
        """A line for each mixer of one layer, in order."""
        raise NotImplementedError

    def layer_state_bytes(self, bytes_per_number: int) -> int:
        """Bytes of one layer's decoding state, of one row."""
        raise NotImplementedError

    def heads(self) -> frozenset[str]:
        names: frozenset[str] = self.head.names()
        return names

    def counts(self, vocabulary: int, sequence_length: int) -> list[PartCount] | None:
        try:
            return self._counts(vocabulary, sequence_length)
        except NotImplementedError:
            return None

    def _counts(self, vocabulary: int, sequence_length: int) -> list[PartCount]:
        width, layers = self.width, self.layers
        table, norm = vocabulary * width, self.norm.parameters(width)
        found = [PartCount("embedding.tokens", table, 0, table, embedding=True)]
        if self.embedding_norm:
            found.append(PartCount("embedding.norm", norm, 0, norm))
        for one in self._layer_counts(sequence_length):
            size, flops, active = layers * one.parameters, layers * one.flops, layers * one.active
            found.append(PartCount(f"blocks.{one.part}", size, flops, active))
        own = self.head.parameters(width, vocabulary)
        head = PartCount("head", own, self.head.flops(width, vocabulary), own)
        return [*found, PartCount("norm", norm, 0, norm), head]

    def _layer_counts(self, sequence_length: int) -> list[PartCount]:
        width, feedforward = self.width, getattr(self, "feedforward", None)
        found = self.mixer_counts(sequence_length)
        if feedforward:
            size, flops, active = (
                count(width) for count in (feedforward.parameters, feedforward.flops, feedforward.active)
            )
            found = [*found, PartCount("feedforward", size, flops, active)]
        norms = len(found) * self.norm.parameters(width)
        return [*found, PartCount("norms", norms, 0, norms)]

    @property
    def added(self) -> int:
        """How often a layer adds to the residual stream."""
        return len(self._layer_counts(1)) - 1

    def cache_bytes(self, bytes_per_number: int) -> int:
        """Nothing grows with the tokens."""
        return 0

    def state_bytes(self, bytes_per_number: int) -> int:
        return self.layers * self.layer_state_bytes(bytes_per_number)

    def build(self, vocabulary: int) -> Any:
        from harness.models.model import Model
        from harness.models.recurrent.body import Recurrent

        body = Recurrent(self, vocabulary)
        model = Model(body, self.head.build_all(self.width, vocabulary, body.embedding_VC))
        body.initialise(model)
        return model


def recurrence_flops(
    groups: int, heads: int, keys: int, values: int, by_channel: bool, chunk: int, sequence_length: int
) -> int:
    """Of `harness.models.recurrent.chunks.recurrence` for one token, matrix products only. by_channel: whether each
    channel of keys has a decay of its own."""
    chunk = min(chunk, sequence_length)
    places = -(-sequence_length // chunk) * chunk
    scores = 0 if by_channel else 2 * groups * keys * chunk
    return places * (scores + 2 * heads * values * (chunk + 2 * keys)) // sequence_length
