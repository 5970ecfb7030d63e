"""Visibilities, lowered to what scaled-dot-product attention takes: a flag, nothing, or a mask."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch

from harness.interfaces.visibility import (
    Causal,
    Condition,
    Cross,
    Full,
    NotBefore,
    Padded,
    Prefix,
    SameDocument,
    Visibility,
    Window,
)

T = TypeVar("T")

#: Every kind of condition that `lower` knows.
LOWERED: frozenset[type[Condition]] = frozenset({Causal, Full, NotBefore, Prefix, SameDocument, Window})


def lower(
    visibility: Visibility,
    query_length: int,
    key_length: int,
    offset: int,
    device: torch.device | str,
    bias: torch.Tensor | None = None,
) -> tuple[bool, torch.Tensor | None]:
    """(is_causal, mask) for `scaled_dot_product_attention`: at most one of them is given.

    Query q stands at place offset + q, key k at place k. mask: bool of shape (B or 1, 1, query_length, key_length),
    true where the query sees the key; with a bias (1, heads, query_length, key_length), which is added to the scores,
    that bias where it does and −∞ where not. A condition's own tensors (documents_BT, …) cover the places of all keys.
    A place that `NotBefore` hides as padding still sees itself, so that no row of the softmax is empty.
    """
    conditions = [c for c in visibility.conditions if not _always_holds(c, query_length, key_length, offset)]
    if not conditions:
        return False, bias
    if bias is None and offset == 0 and query_length == key_length and all(isinstance(c, Causal) for c in conditions):
        return True, None
    query = torch.arange(offset, offset + query_length, device=device)[:, None]
    key = torch.arange(key_length, device=device)
    mask = torch.ones(1, query_length, key_length, dtype=torch.bool, device=device)
    for condition in conditions:
        mask = mask & _holds(condition, query, key)
    return False, mask[:, None] if bias is None else bias.masked_fill(~mask[:, None], -torch.inf)


def _always_holds(condition: Condition, query_length: int, key_length: int, offset: int) -> bool:
    if isinstance(condition, Causal):
        return query_length == 1 and offset == key_length - 1  # the newest place sees all
    return isinstance(condition, (Full, Cross, Padded)) or (
        isinstance(condition, Window) and condition.width >= key_length
    )


def _holds(condition: Condition, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Where one condition holds: (Q, K) or (B, Q, K), from the places (Q, 1) of queries and (K) of keys."""
    match condition:
        case Causal():
            return key <= query
        case Window(width=width):
            return (query - key).abs() < width
        case Prefix(lengths_B=lengths_B):
            assert lengths_B is not None
            return (key <= query) | (key < lengths_B[:, None, None])
        case NotBefore(starts_B=starts_B):
            assert starts_B is not None
            return (key >= starts_B[:, None, None]) | (key == query)
        case SameDocument(documents_BT=documents_BT):
            assert documents_BT is not None
            return documents_BT[:, query.squeeze(1), None] == documents_BT[:, None, key]
    raise TypeError(f"{type(condition).__name__} is not a condition that attention can be lowered to")


class Seen(NamedTuple):
    """What one layer is told of the visibility: plain tensors and flags, so that a block can be compiled.

    is_causal, mask: as `lower` makes them. offset: places before those of this pass, which the decoding state holds.
    """

    is_causal: bool
    mask: torch.Tensor | None
    offset: int


@dataclass
class View:
    """What the places of one forward pass see: the symbol, and its lowering, made once for all layers that share it.

    queries: places of this pass; offset: places before them, which the decoding state holds. bias: of the position, in
    the dtype of the queries, as `Position.bias` makes it.
    """

    visibility: Visibility
    queries: int
    offset: int
    device: torch.device
    bias: torch.Tensor | None = None
    _lowered: dict[Hashable, Any] = field(default_factory=dict)

    def lower(self, window: int | None = None) -> Seen:
        """The visibility, narrowed to a window of so many places, lowered."""
        return self.once(("window", window), lambda: self._narrowed(window))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` makes of this view, made once for all layers that ask by the same key."""
        if key not in self._lowered:
            self._lowered[key] = make()
        made: T = self._lowered[key]
        return made

    def _narrowed(self, window: int | None) -> Seen:
        narrowed = self.visibility if window is None else self.visibility & Window(window)
        keys = self.offset + self.queries
        return Seen(*lower(narrowed, self.queries, keys, self.offset, self.device, self.bias), self.offset)

    def cross(self) -> Seen:
        """What these places see of the text that an encoder has read: all of it, unless `Cross` says less."""
        return self.once("cross", self._crossed)

    def _crossed(self) -> Seen:
        cross = self.visibility.get(Cross)
        if not isinstance(cross, Cross) or cross.sources_BS is None:
            return Seen(False, None, self.offset)
        sources_BS, documents_BT = cross.sources_BS, cross.documents_BT
        if documents_BT is None:
            documents_BT = sources_BS.new_zeros(len(sources_BS), self.queries)
        return Seen(False, (documents_BT[:, :, None] == sources_BS[:, None, :])[:, None], self.offset)


def padded_behind(weights_BT: torch.Tensor) -> Padded:
    """Of rows that end where the last of their targets counts: what stands behind it is padding."""
    counted_T = torch.arange(1, weights_BT.shape[1] + 1, device=weights_BT.device)
    return Padded(((weights_BT > 0) * counted_T).amax(1))


def numbered_documents(visibility: Visibility, places: int, device: torch.device) -> torch.Tensor | None:
    """documents_BT for attentions that tell documents apart and nothing finer: those of `SameDocument`, in which each
    place that `NotBefore` hides is a document of its own, below 0. None: all places are of one document."""
    same, after = visibility.get(SameDocument), visibility.get(NotBefore)
    documents_BT = None
    if isinstance(same, SameDocument):
        assert same.documents_BT is not None
        documents_BT = same.documents_BT[:, :places]
    if not isinstance(after, NotBefore):
        return documents_BT
    assert after.starts_B is not None
    place_T = torch.arange(places, device=device)
    hidden_BT = place_T < after.starts_B[:, None]
    numbers_BT = torch.zeros_like(hidden_BT, dtype=torch.int64) if documents_BT is None else documents_BT
    return torch.where(hidden_BT, -1 - place_T, numbers_BT)
