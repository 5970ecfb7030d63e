"""How many places each expert of a model is given, and how many it is given on average."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from harness.interfaces.visibility import Padded, Visibility


def routers(model: nn.Module) -> dict[str, Any]:
    """The modules that share places out to experts, by name: those that have ``load_E``."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "load_E")}


def tell_real(blocks: nn.Module, visibility: Visibility, places: int, offset: int) -> None:
    """Tells routers which of the places of a forward pass are no padding, as `Padded` says; all, where nothing does.
    They know it until the next pass, so that what a backward pass computes again is the same.

    offset: places before those of this pass, which the decoding state holds.
    """
    padded, real_BT = visibility.get(Padded), None
    if isinstance(padded, Padded):
        assert padded.lengths_B is not None
        place_T = torch.arange(offset, offset + places, device=padded.lengths_B.device)
        real_BT = place_T < padded.lengths_B[:, None]
    for router in routers(blocks).values():
        router.real_BT = real_BT


def given(model: nn.Module, name: str) -> float:
    """The share of all places that a module of the model sees, on average: 1, but less within experts."""
    path = name.split(".")
    above = (model.get_submodule(".".join(path[:depth])) for depth in range(len(path)))
    return math.prod(getattr(module, "given", {}).get(child, 1.0) for module, child in zip(above, path, strict=True))


class Load:
    """Counts while it is entered, and goes on with the count when it is entered again. What a backward pass computes
    again lies outside and counts once."""

    def __init__(self, routers: dict[str, Any]) -> None:
        self.routers = routers
        self.counts: dict[str, torch.Tensor] = {}

    def __enter__(self) -> Load:
        for name, router in self.routers.items():
            router.load_E = self.counts.get(name, 0)
        return self

    def __exit__(self, *error: object) -> None:
        for name, router in self.routers.items():
            self.counts[name], router.load_E = router.load_E, None

    def totals(self, total: Callable[[Sequence[float]], list[float]]) -> dict[str, torch.Tensor]:
        """What was counted at each router, float64. total: sums each number over the ranks that share the batch."""
        if not self.counts:
            return {}
        counts = list(self.counts.values())
        summed = torch.tensor(total(torch.cat(counts).tolist()), dtype=torch.float64)
        return dict(zip(self.counts, summed.split([len(count) for count in counts]), strict=True))

    def shares(self) -> dict[str, list[float]]:
        """What each expert was given, in equal shares: 1 where it is as much as any other's."""
        return {name: (load_E / load_E.double().mean()).tolist() for name, load_E in self.counts.items()}

    def places(self) -> int:
        """How often a router has given a place to an expert, at each router."""
        return int(next(iter(self.counts.values())).sum())

    def largest(self) -> float:
        """The load of the expert that was given most, in equal shares, over all routers."""
        return max(max(shares) for shares in self.shares().values())
