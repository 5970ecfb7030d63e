"""A model: one body and its heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import nn

from harness.interfaces.architecture import DECODER, Body, Output, ReadingBody
from harness.interfaces.optimizer import Growth
from harness.interfaces.visibility import Causal, Condition, Full, Visibility


class Model(nn.Module):
    """A body and its heads, by name. The body makes hidden states, a head makes what a method needs of them.

    maximum_length: the longest sequence it can see, in tokens; None: no bound. topology: as its Config says. growth: by
    name, of the matrices of a model in μP (`harness.models.widening`), set by its architecture.
    """

    body: Body

    def __init__(
        self,
        body: Body,
        heads: Mapping[str, nn.Module],
        maximum_length: int | None = None,
        topology: str = DECODER,
    ) -> None:
        super().__init__()
        self.body = body
        self.heads = nn.ModuleDict(heads)
        self.maximum_length = maximum_length
        self.topology = topology
        self.growth: Mapping[str, Growth] = {}

    def forward(self, compute: Callable[..., Any], *arguments: Any) -> Any:
        """``compute(model, *arguments)``. What is to be trained is computed through this call, since the ways of
        spreading a model over devices hook into it."""
        return compute(self, *arguments)

    def logits(
        self,
        inputs_BT: torch.Tensor,
        *,
        visibility: Visibility | Condition = Causal(),
        positions_BT: torch.Tensor | None = None,
        state: Any = None,
        head: str = "language_model",
        source_BS: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """logits_BTV of the language-model head at every place. A `state` that is passed in moves on. source_BS: the
        text that an encoder–decoder reads, seen whole."""
        context = None if source_BS is None else self.encode(source_BS).hidden_BTC
        output = self.body(inputs_BT, positions_BT=positions_BT, context=context, visibility=visibility, state=state)
        return self.heads[head](output.hidden_BTC)

    def encode(self, source_BS: torch.Tensor, *, visibility: Visibility | Condition = Full()) -> Output:
        """hidden_BSC of the text that an encoder–decoder reads: the `context` of its body."""
        return cast(ReadingBody, self.body).encode(source_BS, visibility=visibility)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device
