"""Who may see whom: the definition of every visibility, place by place, slow and obvious."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from harness.interfaces.visibility import (
    Causal,
    Condition,
    Full,
    NotBefore,
    Prefix,
    SameDocument,
    Visibility,
    Window,
)

#: What a layer sees of its own accord, beside the visibility: whether place q sees place k.
Limit = Callable[[int, int], bool]


def sees(visibility: Visibility | Condition, rows: int, places: int) -> torch.Tensor:
    """sees_BQK, bool: whether place q of a row may see its place k. A place always sees itself."""
    holds = [_rule(condition) for condition in (Visibility() & visibility).conditions]
    of_rows = [
        [[q == k or all(of(row, q, k) for of in holds) for k in range(places)] for q in range(places)]
        for row in range(rows)
    ]
    return torch.tensor(of_rows)


def _rule(condition: Condition) -> Callable[[int, int, int], bool]:
    """A condition as its docstring says it: (row, q, k) → whether it holds."""
    match condition:
        case Full():
            return lambda row, q, k: True
        case Causal():
            return lambda row, q, k: k <= q
        case Window(width=width):
            return lambda row, q, k: abs(q - k) < width
        case Prefix(lengths_B=lengths_B):
            lengths = _listed(lengths_B)
            return lambda row, q, k: k <= q or k < lengths[row]
        case NotBefore(starts_B=starts_B):
            starts = _listed(starts_B)
            return lambda row, q, k: k >= starts[row]
        case SameDocument(documents_BT=documents_BT):
            documents = _listed(documents_BT)
            return lambda row, q, k: documents[row][q] == documents[row][k]
    raise TypeError(f"{type(condition).__name__} is not a condition that the kit knows")


def _listed(tensor: torch.Tensor | None) -> list[Any]:
    assert tensor is not None, "a condition without its tensor"
    return tensor.tolist()


def reaches(seen_BQK: torch.Tensor, layers: Sequence[Limit | None]) -> torch.Tensor:
    """reaches_BQK, bool: whether what stands at place k can come to place q through all layers, each of which sees what
    the visibility and its own limit allow, and passes on what it has."""
    places = seen_BQK.shape[1]
    itself_QK = torch.eye(places, dtype=torch.bool)
    reached_BQK = itself_QK.expand_as(seen_BQK)
    for limit in layers:
        layer_BQK = seen_BQK & _allowed(limit, places) | itself_QK
        reached_BQK = (layer_BQK.float() @ reached_BQK.float()) > 0
    return reached_BQK


def _allowed(limit: Limit | None, places: int) -> torch.Tensor:
    if limit is None:
        return torch.ones(places, places, dtype=torch.bool)
    return torch.tensor([[limit(q, k) for k in range(places)] for q in range(places)])


def window(width: int | None) -> Limit | None:
    """The limit of a layer that sees fewer than `width` places away; None: none."""
    return None if width is None else lambda q, k: abs(q - k) < width


def visibilities(claimed: Iterable[type[Condition]], rows: int, places: int) -> dict[str, Visibility]:
    """One of each kind that is claimed, and their sums, by name. Documents, prefixes and padding end elsewhere in
    neighbouring rows, and in some of them place b of row b is padding. rows, places: at least 9 places."""
    row, place = torch.arange(rows), torch.arange(places)
    documents_BT = (place >= 3 + row[:, None] % 3).long() + (place >= 7)
    more = {
        "Window": Window(3),
        "SameDocument": SameDocument(documents_BT),
        "NotBefore": NotBefore((row + 2) % 5),
    }
    found = {}
    for base in (Causal(), Full()):
        name = type(base).__name__
        found[name] = Visibility((base,))
        found |= {f"{name} & {of}": base & condition for of, condition in more.items()}
        found[f"{name} & {' & '.join(more)}"] = base & Visibility(tuple(more.values()))
    found["Prefix"] = Visibility((Prefix(2 + row % 5),))
    known = frozenset(claimed)
    return {name: visibility for name, visibility in found.items() if visibility.kinds() <= known}
