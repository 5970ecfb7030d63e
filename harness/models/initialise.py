"""Weights at the start."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from harness.interfaces.optimizer import Growth
from harness.models.roles import roles


@torch.no_grad()
def normal(
    model: nn.Module, std: float, residual_std: float | None = None, growth: Mapping[str, Growth] | None = None
) -> None:
    """Draws matrices and embeddings from N(0, std²), sets gains to one and biases to zero, in order of definition.

    residual_std: for the matrices that a module names in `writes`, whose product is added to the residual stream. A
    module that names in `starts` a standard deviation for some of its own keeps to that. growth: of matrices of a model
    in μP (`harness.models.widening`); `starts` already fall with the root of their inputs.
    """
    starts = {f"{at}.{n}": own for at, m in model.named_modules() for n, own in getattr(m, "starts", {}).items()}
    writes = {f"{at}.{name}" for at, module in model.named_modules() for name in getattr(module, "writes", ())}
    parameters = dict(model.named_parameters())
    for name, role in roles(model).items():
        if role in ("matrix", "embedding"):
            own = residual_std if residual_std is not None and name in writes else std
            inputs, outputs = (growth or {}).get(name, Growth())
            first = starts.get(name, own / inputs**0.5)
            parameters[name].normal_(0.0, first * min(1.0, (outputs / inputs) ** 0.5))
        else:
            parameters[name].fill_(1.0 if role == "gain" else 0.0)
