"""Stacks of gated recurrent layers: the LSTM and the GRU, as language models had them before attention."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import option, slot
from harness.interfaces.architecture import ArchitectureConfig, PartCount
from harness.interfaces.visibility import Causal, Condition, NotBefore, SameDocument

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class GatedRecurrentConfig(ArchitectureConfig):
    """What both have in common: embeddings, layers one above the other, dropout between them and none along time
    (Zaremba et al. 2014), and no norms or residuals."""

    visibilities: ClassVar[frozenset[type[Condition]]] = frozenset({Causal, SameDocument, NotBefore})
    #: Matrices of each kind in a layer: of the gates and of what is written.
    gates: ClassVar[int]
    #: Tensors of a layer's state.
    memories: ClassVar[int]

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"head": "language_model"}])

    width: int = option(64, "channels of the embeddings, and of what the head is given", minimum=1)
    hidden: int | None = option(
        None, "channels of each layer's state; null: width. Others are projected to width after the last layer "
        "(Press, Wolf 2017)", minimum=1,
    )  # fmt: skip
    layers: int = option(2, "layers", minimum=1)
    head: Any = slot("head", "hidden states to what the method needs")
    dropout: float = option(
        0.0, "share of the channels dropped in training before each layer and after the last", minimum=0.0, maximum=1.0
    )
    embedding_std: float = option(
        1.0, "standard deviation of the embeddings at the start: no norm follows them", minimum=0.0
    )
    init_std: float = option(
        0.05, "standard deviation at the start of other matrices; that of the layers' own is 1/√hidden", minimum=0.0
    )

    @property
    def channels(self) -> int:
        """Of each layer's state."""
        return self.hidden or self.width

    def heads(self) -> frozenset[str]:
        names: frozenset[str] = self.head.names()
        return names

    def counts(self, vocabulary: int, sequence_length: int) -> list[PartCount] | None:
        """A layer has two matrices for each gate, from below and from the place before, and PyTorch's two biases."""
        table = vocabulary * self.width
        matrices = self.gates * self.channels * (self.width + self.channels * (2 * self.layers - 1))
        size = matrices + 2 * self.gates * self.channels * self.layers
        parts = [
            PartCount("embedding.tokens", table, 0, table, embedding=True),
            PartCount("blocks", size, 2 * matrices, size),
        ]
        if self.channels != self.width:
            projection = self.channels * self.width
            parts.append(PartCount("projection", projection, 2 * projection, projection))
        own = self.head.parameters(self.width, vocabulary)
        return [*parts, PartCount("head", own, self.head.flops(self.width, vocabulary), own)]

    def cache_bytes(self, bytes_per_number: int) -> int | None:
        """Its decoding state does not grow with the tokens."""
        return 0

    def state_bytes(self, bytes_per_number: int) -> int:
        return self.layers * self.channels * self.memories * bytes_per_number

    def build(self, vocabulary: int) -> Any:
        from harness.models.model import Model
        from harness_plugins.architecture.gated_recurrent.stack import Stack

        body = Stack(self, vocabulary)
        model = Model(body, self.head.build_all(self.width, vocabulary, body.embedding_VC))
        body.initialise(model)
        return model


@dataclass(kw_only=True)
class LstmConfig(GatedRecurrentConfig):
    """Long short-term memory (Hochreiter, Schmidhuber 1997; with forget gates, Gers et al. 2000)."""

    gates: ClassVar[int] = 4
    memories: ClassVar[int] = 2

    forget_bias: float = option(
        1.0, "bias of the forget gates at the start: above 0, memory is kept at first (Jozefowicz et al. 2015)"
    )


@dataclass(kw_only=True)
class GruConfig(GatedRecurrentConfig):
    """Gated recurrent units (Cho et al. 2014)."""

    gates: ClassVar[int] = 3
    memories: ClassVar[int] = 1


@hookimpl
def register_architecture() -> dict[str, type]:
    return {"gru": GruConfig, "lstm": LstmConfig}
