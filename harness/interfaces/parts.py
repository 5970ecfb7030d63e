"""The parts that a transformer's blocks are made of. Each counts itself in closed form and builds a module.

Parameter roles (decay, width transfer): every module names the role of its own parameters in a class variable
``roles: dict[str, str]``; `harness.models.roles` collects them and knows PyTorch's own. Roles: matrix, embedding, gain,
bias. For the initialisation a module names in ``writes: tuple[str, ...]`` its matrices whose product is added to the
residual stream, and in ``starts: dict[str, float]`` those that begin with a standard deviation of their own.

Tensor parallelism: a module names in ``tensor_parallel: dict[str, str]`` which of its Linears may be split over ranks,
and how: "columns", each rank makes some of its outputs; "rows", each rank takes some of its inputs, and the products
are added up (its bias once). What stands between them must take the number of channels or heads from its tensors. A
module that names nothing is held whole by every rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness.config import ConfigError, PluginConfig, to_mapping
from harness.interfaces.visibility import Causal, Condition, Full, NotBefore, Prefix, SameDocument, Window


@dataclass(kw_only=True)
class NormConfig(PluginConfig):
    """``build(width)``: a module, hidden_BTC → hidden_BTC."""

    def parameters(self, width: int) -> int:
        raise NotImplementedError

    def activations(self, width: int) -> int:
        """About how many numbers training keeps of one token for the backward pass, its result left out."""
        return 2 * width

    def build(self, width: int) -> Any:
        raise NotImplementedError


@dataclass(kw_only=True)
class PositionConfig(PluginConfig):
    """``build(width, heads, head_width)``: a `harness.models.position.Position`, which may add to the embeddings, turn
    queries and keys, or add a bias to the scores. heads: those of the queries. One object serves all layers."""

    #: Whether it adds a bias for each head to the scores. Only an attention that ``takes_bias`` fits then, with equally
    #: many heads in all layers.
    biased: ClassVar[bool] = False
    #: Whether it is a table of distances that the attention of each layer makes scores of, and does nothing itself.
    disentangled: ClassVar[bool] = False

    def parameters(self, width: int, heads: int) -> int:
        """Its look-up table: vectors added to the embeddings, or numbers added to the scores."""
        return 0

    def norm_parameters(self, width: int) -> int:
        """Of a norm that the rows of its table go through."""
        return 0

    def maximum_length(self) -> int | None:
        """The longest sequence it knows, in tokens; None: no bound."""
        return None

    def check_head(self, head_width: int) -> None:
        """Raises ConfigError where queries and keys of so many channels cannot be turned."""

    def beside(self, std: float) -> Any:
        """Itself as it stands where vectors of tokens begin with such a standard deviation."""
        return self

    def build(self, width: int, heads: int, head_width: int) -> Any:
        raise NotImplementedError


@dataclass(kw_only=True)
class AttentionConfig(PluginConfig):
    """``build(width, position)``: a module, (hidden_BTC, positions, seen, state) → (hidden_BTC, state).

    positions: what ``position.prepare`` made, for ``position.rotate``; seen: what the module's ``lower(view)`` made of
    a `harness.models.visibility.View`, tensors and flags, outside of what is compiled and computed again.
    ``start(batch, length)``: an empty decoding state of the layer. ``heads``, an option of each: heads of the queries.
    """

    #: Whether it adds a mask of numbers to its scores, for each head its own: what the bias of a position becomes.
    takes_bias: ClassVar[bool] = False
    #: Whether `build_cross` makes a module of it that looks at another text, for the decoder of an encoder–decoder. Its
    #: parameters are those of the attention itself.
    crosses: ClassVar[bool] = False
    #: The kinds of condition it can do; a method that asks for another is refused at compose time. All of those that
    #: `harness.models.visibility` lowers, unless it says fewer.
    visibilities: ClassVar[frozenset[type[Condition]]] = frozenset(
        {Causal, Full, NotBefore, Prefix, SameDocument, Window}
    )

    def head_width(self, width: int) -> int:
        """Channels of one head that position turns, mostly all; raises ConfigError where heads and width do not fit."""
        raise NotImplementedError

    def computes(self, width: int) -> dict[str, Any]:
        """What determines its results once its weights are there: its options, with those that stand for others
        resolved."""
        return to_mapping(self)

    def at_width(self, width: int, base_channels: int) -> Any:
        """Itself as it stands in a model in μP (`harness.models.widening`), whose heads had so many channels at the
        base width. Raises ConfigError where it is not known to serve all widths."""
        raise ConfigError(
            f"attention={self.name} is not known to serve all widths alike: choose multi_head, or leave "
            "architecture.base_width out."
        )

    def check_position(self, position: PositionConfig) -> None:
        """Raises ConfigError where it makes nothing of such a position."""
        if position.disentangled:
            raise ConfigError(
                f"position={position.name} is a table that attention={self.name} makes nothing of: say "
                "attention=disentangled, or choose another position."
            )

    def maximum_length(self) -> int | None:
        """The longest sequence it can see, in tokens; None: no bound."""
        return None

    def parameters(self, width: int) -> int:
        raise NotImplementedError

    def flops(self, width: int, sequence_length: int) -> int:
        """Of the forward pass for one token, matrix products only, over all places of the sequence."""
        raise NotImplementedError

    def cross_flops(self, width: int, sequence_length: int, source_length: int) -> int:
        """Where it `crosses`: of one token among so many, which look at a text of so many places."""
        raise NotImplementedError

    def position_flops(self, position: Any, width: int, sequence_length: int) -> int:
        """More of them, for what it makes of the position's table."""
        return 0

    def position_products(self, position: Any) -> int:
        """How many numbers its products with the position's table result in for one token."""
        return 0

    def activations(self, width: int, sequence_length: int) -> int:
        """About how many numbers training keeps of one token in one layer for the backward pass, its input included."""
        raise NotImplementedError

    def float32(self, width: int, sequence_length: int) -> int:
        """About how many more numbers of one token it keeps, in float32 in every precision."""
        return 0

    def products(self, width: int) -> int:
        """How many numbers its matrix products and its attention result in for one token: what is kept where all else
        is computed again."""
        raise NotImplementedError

    def scores(self, sequence_length: int) -> int:
        """How many scores of one token it holds for the backward pass: none where a fused kernel computes them."""
        return 0

    def divisible(self, width: int) -> int:
        """The number of equal pieces that its matrices can be cut into, and all of that number's divisors."""
        raise NotImplementedError

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        """Bytes of decoding state for one token in one layer."""
        raise NotImplementedError

    def build(self, width: int, position: Any) -> Any:
        raise NotImplementedError

    def build_cross(self, width: int) -> Any:
        """Where it `crosses`: a module, (hidden_BTC, context_BSC, seen, state) → (hidden_BTC, state). context_BSC:
        hidden states of the other text, which has no positions here; seen: as `View.cross` makes it; its ``start()``
        makes an empty decoding state, which keeps what was made of the text."""
        raise NotImplementedError


#: What the hidden layer of a feedforward may go through, by the names of `harness.models.activations`.
ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu", "squared_relu")


@dataclass(kw_only=True)
class FeedforwardConfig(PluginConfig):
    """``build(width)``: a module, hidden_BTC → (hidden_BTC, auxiliary losses by name, each a weighted sum over the rows
    and the count that it is divided by).

    A module in it that shares places out to experts has ``load_E``: None, or what it adds the number of places that
    each expert was given to; and ``real_BT``: which places are no padding, or None, which the body tells it before each
    pass. Padding has no part in counts and losses (`harness.models.load`). One that gives a child some of the places
    only names the share that it sees on average in ``given: dict[str, float]``, by the child's name. Where something in
    it ``learns`` without a gradient, the loop calls ``learn(seen)`` after each optimizer step
    (`harness.models.learners`).
    """

    def computes(self, width: int) -> dict[str, Any]:
        """What determines its results once its weights are there: its options, with those that stand for others
        resolved."""
        return to_mapping(self)

    def parameters(self, width: int) -> int:
        raise NotImplementedError

    def active(self, width: int) -> int:
        """Parameters that one token uses."""
        return self.parameters(width)

    def flops(self, width: int) -> int:
        """Of the forward pass for one token, matrix products only."""
        return 2 * self.active(width)

    def activations(self, width: int) -> int:
        """About how many numbers training keeps of one token in one layer for the backward pass, its input included."""
        raise NotImplementedError

    def products(self, width: int) -> int:
        """How many numbers its matrix products and its attention result in for one token: what is kept where all else
        is computed again."""
        raise NotImplementedError

    def divisible(self, width: int) -> int:
        """The number of equal pieces that its matrices can be cut into, and all of that number's divisors."""
        raise NotImplementedError

    def build(self, width: int) -> Any:
        raise NotImplementedError


@dataclass(kw_only=True)
class HeadConfig(PluginConfig):
    """``build(width, vocabulary, embedding_VC)``: a module, hidden_BTC → what its method needs (logits_BTV, …)."""

    def at_width(self, times: float) -> Any:
        """Itself as it stands in a model in μP (`harness.models.widening`) that is so many times as wide as at its
        base. Raises ConfigError where it is not known to serve all widths."""
        raise ConfigError(
            f"head={self.name} is not known to serve all widths alike: choose another, or leave "
            "architecture.base_width out."
        )

    def parameters(self, width: int, vocabulary: int) -> int:
        """Its own parameters; those shared with the embedding table are not counted again."""
        raise NotImplementedError

    def flops(self, width: int, vocabulary: int) -> int:
        raise NotImplementedError

    def activations(self) -> int:
        """How many numbers it keeps of each logit for the backward pass."""
        return 0

    def build(self, width: int, vocabulary: int, embedding_VC: Any) -> Any:
        raise NotImplementedError

    def names(self) -> frozenset[str]:
        """Those that it has as heads of a model: its own, where it makes one module."""
        return frozenset({self.name})

    def build_all(self, width: int, vocabulary: int, embedding_VC: Any) -> dict[str, Any]:
        """The module of each of its names."""
        return {self.name: self.build(width, vocabulary, embedding_VC)}
