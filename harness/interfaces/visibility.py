"""Visibility as a symbol: what a place may see, said once and lowered by each attention to what it does fastest.

A `Visibility` is a set of conditions that must all hold, combined with ``&``. Methods ask for one,
bodies say which they can do. `harness.models.visibility` lowers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Condition:
    """One condition on a pair of places (query i, key j). Alone it is a Visibility of one condition."""

    def __and__(self, other: Condition | Visibility) -> Visibility:
        return Visibility((self,)) & other


@dataclass(frozen=True, eq=False)
class Causal(Condition):
    """j ≤ i."""


@dataclass(frozen=True, eq=False)
class Full(Condition):
    """No condition."""


@dataclass(frozen=True, eq=False)
class Prefix(Condition):
    """j ≤ i, or j before the row's prefix ends. lengths_B: places in the prefix of each row."""

    lengths_B: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Window(Condition):
    """|i − j| < width: fewer than `width` places away on either side; under `Causal` the last `width` up to and
    including i."""

    width: int = 0


@dataclass(frozen=True, eq=False)
class SameDocument(Condition):
    """Both places belong to the same document of a packed row. documents_BT: a number for each place."""

    documents_BT: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class NotBefore(Condition):
    """j ≥ the row's first real place: hides padding on the left. starts_B: that place, for each row."""

    starts_B: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Padded(Condition):
    """The places of each row from its length on are padding, which stands for nothing. It hides nothing by itself: the
    other conditions keep real places from seeing them. lengths_B: real places of each row."""

    lengths_B: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Cross(Condition):
    """What a decoder's place sees of the text that its encoder has read: the places of the same document. It says
    nothing of what decoders' places see of each other. documents_BT: the document of each place of the decoder; None:
    all belong to 0. sources_BS: that of each place of the encoder; what no place belongs to is padding."""

    sources_BS: torch.Tensor | None = None
    documents_BT: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Visibility:
    """All conditions hold."""

    conditions: tuple[Condition, ...] = ()

    def __and__(self, other: Condition | Visibility) -> Visibility:
        more = other.conditions if isinstance(other, Visibility) else (other,)
        return Visibility(self.conditions + more)

    def kinds(self) -> frozenset[type[Condition]]:
        """Which kinds of condition it is made of."""
        return frozenset(type(condition) for condition in self.conditions)

    def get(self, kind: type[Condition]) -> Condition | None:
        return next((condition for condition in self.conditions if isinstance(condition, kind)), None)
