"""Weights at the start."""

from __future__ import annotations

import torch
from torch import nn

from harness.models.roles import roles


@torch.no_grad()
def normal(model: nn.Module, std: float, residual_std: float | None = None) -> None:
    """Draws matrices and embeddings from N(0, std²), sets gains to one and biases to zero, in order of definition.

    residual_std: for the matrices that a module names in `writes`, whose product is added to the residual stream. A
    module that names in `starts` a standard deviation for some of its own keeps to that.
    """
    starts = {f"{at}.{n}": own for at, m in model.named_modules() for n, own in getattr(m, "starts", {}).items()}
    writes = {f"{at}.{name}" for at, module in model.named_modules() for name in getattr(module, "writes", ())}
    parameters = dict(model.named_parameters())
    for name, role in roles(model).items():
        if role in ("matrix", "embedding"):
            own = residual_std if residual_std is not None and name in writes else std
            parameters[name].normal_(0.0, starts.get(name, own))
        else:
            parameters[name].fill_(1.0 if role == "gain" else 0.0)
