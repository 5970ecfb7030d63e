"""Activations by the names that configs use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

#: gelu: Hendrycks and Gimpel 2016; gelu_tanh: its approximation, as in GPT-2; silu: also called swish; squared_relu:
#: So et al. 2021.
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "squared_relu": lambda x: F.relu(x).square(),
}
