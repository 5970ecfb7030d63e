"""Architectures: a body and its heads.

``body(inputs, context, visibility, state) → Output``. A body never makes logits: heads do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from harness.config import PluginConfig, option, to_mapping
from harness.interfaces.visibility import Causal, Condition, Full

if TYPE_CHECKING:
    import torch

    from harness.interfaces.visibility import Visibility

DECODER, ENCODER_DECODER = "decoder", "encoder_decoder"

#: One opaque decoding state (KV cache, recurrent state): passed in, returned, never looked into.
State = Any


@dataclass
class Output:
    """hidden_BTC; the state after these places (None where none was passed in); auxiliary losses as weighted
    sums by name, each with the count it is divided by."""

    hidden_BTC: torch.Tensor
    state: State = None
    auxiliary: dict[str, tuple[torch.Tensor, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class PartCount:
    """One line of a model's account, in closed form.

    part: a name like ``blocks.attention``. parameters: how many. active: how many of them one token uses.
    flops: floating-point operations of the forward pass for one token at the stated sequence length, matrix
    products only, attention counted over all T places, as PyTorch's counter does. embedding: whether it is a
    look-up table (token or position embedding), which "non-embedding parameters" leave out.
    """

    part: str
    parameters: int
    flops: int
    active: int
    embedding: bool = False


@dataclass(frozen=True)
class LayerActivations:
    """Numbers that a layer keeps of one token for the backward pass.

    stream: in the precision of the residual stream: its input, and what its norms keep. computed: in the precision of
    matrix products. products: of those, what matrix products and attention result in. gradients: how many more there
    are at once on the way back through the layer, when the first of `computed` are gone. scores: those of attention
    where no fused kernel computes them: two float32 of each are kept, and what the next product takes if that is less,
    and four float32 of each are there on the way back.
    """

    stream: int
    computed: int
    products: int
    gradients: int
    scores: int = 0


@dataclass(frozen=True)
class Activations:
    """What a model keeps of one token: by layer, and after the layers, in the precision of the residual stream. logits:
    how many numbers its head keeps of each logit, in the precision of matrix products. mask: those of one token in the
    bias that is added to the scores of all layers, in the same."""

    width: int
    layers: Sequence[LayerActivations]
    after: int
    logits: int = 0
    mask: int = 0


class Body(Protocol):
    """What an architecture's body promises. `embedding_VC` is the token table that a tied head shares."""

    @property
    def embedding_VC(self) -> torch.Tensor: ...

    def __call__(
        self,
        inputs_BT: torch.Tensor | None = None,
        *,
        embeddings_BTC: torch.Tensor | None = None,
        positions_BT: torch.Tensor | None = None,
        context: Any = None,
        visibility: Visibility | Condition,
        state: State = None,
    ) -> Output: ...

    def start(self, batch: int, length: int) -> State:
        """An empty decoding state for so many rows and at most so many places."""
        ...


class ReadingBody(Body, Protocol):
    """What the body of an encoder–decoder promises beside that."""

    def encode(
        self, inputs_BS: torch.Tensor, *, positions_BS: torch.Tensor | None = None, visibility: Visibility | Condition
    ) -> Output:
        """Hidden states of the text that is read, which are the `context` of a call."""
        ...


class Interchange(Protocol):
    """How an architecture goes to and from folders of `transformers` that tells it by itself. Theirs are tensors by the
    names that they have in files. objective: ours that such a model is trained by.

    told: its config.json. taken: our state dict from theirs; raises UserError where they do not fit. written: theirs.
    """

    objective: str

    def told(self, vocabulary: int) -> dict[str, Any]: ...

    def taken(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]: ...

    def written(self, state: Mapping[str, torch.Tensor], vocabulary: int) -> dict[str, torch.Tensor]: ...


@dataclass(kw_only=True)
class ArchitectureConfig(PluginConfig):
    """Base of every architecture's Config. `vocabulary` null means the tokenizer's."""

    #: The kinds of condition its attention can do; a method that asks for another is refused at compose time.
    visibilities: ClassVar[frozenset[type[Condition]]] = frozenset({Causal, Full})
    #: Optional distributions whose kernels stand in for PyTorch's on a GPU, where a run neither is deterministic nor
    #: asks for float32: their versions are then part of the numerics fingerprint.
    kernels: ClassVar[tuple[str, ...]] = ()
    vocabulary: int | None = option(None, "tokens in the embedding table; null: the tokenizer's", minimum=1)

    def counts(self, vocabulary: int, sequence_length: int) -> list[PartCount] | None:
        """The model's account by part, in closed form; None: it is counted on the meta device. That of an
        encoder–decoder takes the length of what is read as well."""
        return None

    def layer_blocks(self) -> list[Any]:
        """For each layer, a config that holds what the layer is made of: this one, where all are alike."""
        return [self]

    def computes(self) -> dict[str, Any]:
        """What determines its results once its weights are there: its options, with those that stand for others
        resolved. Two that answer alike and have the same weights compute the same."""
        return to_mapping(self)

    def topology(self) -> str:
        """`DECODER`, one text; or `ENCODER_DECODER`, a text that is seen and one that is written."""
        return DECODER

    def cannot_do(self, kinds: frozenset[type[Condition]]) -> str:
        """Which part of it is why it cannot do these kinds of condition, as ``group=name``."""
        return f"architecture={self.name}"

    def heads(self) -> frozenset[str]:
        """The names of the heads that it builds."""
        return frozenset({"language_model"})

    def maximum_length(self) -> int | None:
        """The longest sequence it can see, in tokens; None: no bound."""
        return None

    def tensor_parallel(self) -> int | None:
        """The number that `trainer.tensor_parallel` must divide, such as that of the heads; None: its blocks cannot be
        cut. Raises ConfigError where one of its options forbids it."""
        return None

    def activations(self, sequence_length: int) -> Activations | None:
        """What training keeps for the backward pass; None: unknown."""
        return None

    def cache_bytes(self, bytes_per_number: int) -> int | None:
        """Bytes of decoding state for one token, over all layers; None: unknown."""
        return None

    def state_bytes(self, bytes_per_number: int) -> int:
        """Bytes of decoding state of one row, over all layers, that are the same for any number of tokens."""
        return 0

    def check_run(self, config: Any) -> None:
        """Raises ConfigError where it cannot be trained in a run, a `RunConfig`, for what it does not declare above."""

    def interchange(self) -> Interchange | None:
        """How it goes to and from folders of `transformers`; None: as `harness.models.huggingface` knows its parts."""
        return None

    def build(self, vocabulary: int) -> Any:
        """A `harness.models.model.Model`. Initialised with torch's global generator, which the caller has seeded."""
        raise NotImplementedError
