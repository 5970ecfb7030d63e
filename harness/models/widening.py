"""μP, the maximal update parametrization (Yang et al. 2022, "Tensor Programs V"): how initialisation and learning rates
go with width, so that the best rate of a narrow model is that of a wide one.

A model in μP is, at its base width, the one that its options say. With inputs and outputs that have grown by the
factors n and m since then, a matrix starts smaller by √n · max(1, √(n / m)) (in one formula as Yang, Simon, Bernstein
2023, "A spectral condition", have it), and Adam's rate for it is smaller by n: of hidden matrices by √n and n, of those
that read out (a head, a router) by n and n. Embeddings, gains and biases have inputs that do not grow (the paper's
table 3). A head that shares the table of tokens cannot start smaller: its scale is divided by n (table 8).
"""

from __future__ import annotations

from torch import nn

from harness.interfaces.optimizer import Growth
from harness.models.roles import roles


def growth(model: nn.Module, times: float) -> dict[str, Growth]:
    """By the name of each matrix, how far it has grown in a model that is so many times as wide as at its base.

    Inputs and outputs of all matrices are taken to grow as the width does, but for the outputs of those that a module
    names in a class variable `reads_out`.
    """
    out = {f"{at}.{name}" for at, module in model.named_modules() for name in getattr(module, "reads_out", ())}
    matrices = (name for name, role in roles(model).items() if role == "matrix")
    return {name: Growth(times, 1.0 if name in out else times) for name in matrices}
