"""Losses that parts of a body have beside the method's: those that balance experts."""

from __future__ import annotations

from collections.abc import Mapping

import torch

#: By name, a weighted sum over the rows, and the count that it is divided by.
Losses = dict[str, tuple[torch.Tensor, float]]


def added(losses: Losses, more: Mapping[str, tuple[torch.Tensor, float]]) -> Losses:
    """Those of the layers so far, and of one more. Layers add up (Fedus et al. 2022, section 2.2), and all have the
    same rows: so a router is pushed as hard in a deep model as in a shallow one."""
    found = dict(losses)
    for name, (value, count) in more.items():
        before, rows = found.get(name, (0.0, count))
        assert rows == count, f"the layers count different rows for {name}"
        found[name] = before + value, count
    return found
