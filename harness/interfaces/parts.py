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
from typing import Any

from harness.config import PluginConfig


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
    """``build(width, head_width)``: a `harness.models.position.Position`, which may add to the embeddings or turn
    queries and keys. One object serves all layers."""

    def parameters(self, width: int) -> int:
        """Parameters added to the embeddings (a look-up table)."""
        return 0

    def maximum_length(self) -> int | None:
        """The longest sequence it knows, in tokens; None: no bound."""
        return None

    def check_head(self, head_width: int) -> None:
        """Raises ConfigError where queries and keys of so many channels cannot be turned."""

    def build(self, width: int, head_width: int) -> Any:
        raise NotImplementedError


@dataclass(kw_only=True)
class AttentionConfig(PluginConfig):
    """``build(width, position)``: a module, (hidden_BTC, positions, seen, state) → (hidden_BTC, state).

    positions: what ``position.prepare`` made, for ``position.rotate``; seen: what the module's ``lower(view)`` made of
    a `harness.models.visibility.View`, tensors and flags, outside of what is compiled and computed again.
    ``start(batch, length)``: an empty decoding state of the layer.
    """

    def head_width(self, width: int) -> int:
        """Channels of one head; raises ConfigError where heads and width do not fit."""
        raise NotImplementedError

    def parameters(self, width: int) -> int:
        raise NotImplementedError

    def flops(self, width: int, sequence_length: int) -> int:
        """Of the forward pass for one token, matrix products only, over all places of the sequence."""
        raise NotImplementedError

    def activations(self, width: int, sequence_length: int) -> int:
        """About how many numbers training keeps of one token in one layer for the backward pass, its input included."""
        raise NotImplementedError

    def products(self, width: int) -> int:
        """How many numbers its matrix products and its attention result in for one token: what is kept where all else
        is computed again."""
        raise NotImplementedError

    def divisible(self, width: int) -> int:
        """The number of equal pieces that its matrices can be cut into, and all of that number's divisors."""
        raise NotImplementedError

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        """Bytes of decoding state for one token in one layer."""
        raise NotImplementedError

    def build(self, width: int, position: Any) -> Any:
        raise NotImplementedError


@dataclass(kw_only=True)
class FeedforwardConfig(PluginConfig):
    """``build(width)``: a module, hidden_BTC → (hidden_BTC, auxiliary losses by name)."""

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

    def parameters(self, width: int, vocabulary: int) -> int:
        """Its own parameters; those shared with the embedding table are not counted again."""
        raise NotImplementedError

    def flops(self, width: int, vocabulary: int) -> int:
        raise NotImplementedError

    def build(self, width: int, vocabulary: int, embedding_VC: Any) -> Any:
        raise NotImplementedError
