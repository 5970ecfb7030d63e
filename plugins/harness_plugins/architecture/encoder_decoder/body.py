"""The body of an encoder–decoder (Vaswani et al. 2017, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.interfaces.architecture import Output
from harness.interfaces.visibility import Condition, Visibility
from harness.models.position import Position
from harness.models.visibility import View
from harness_plugins.architecture.transformer.body import Block, Stack, Transformer, operand

if TYPE_CHECKING:
    from harness_plugins.architecture.encoder_decoder import EncoderDecoderConfig
    from harness_plugins.architecture.transformer import TransformerConfig


class CrossBlock(Block):
    """A layer of the decoder: attention, attention to the other text, and feedforward."""

    def __init__(self, config: TransformerConfig, position: Position) -> None:
        super().__init__(config, position)
        self.cross_norm = config.norm.build(config.width)
        self.cross = config.attention.build_cross(config.width)
        if config.placement == "sandwich":
            self.cross_norm_after = config.norm.build(config.width)

    def start(self, batch: int, length: int) -> Any:
        return super().start(batch, length), self.cross.start()

    def lower(self, view: View, context_BSC: torch.Tensor | None) -> Any:
        assert context_BSC is not None, "an encoder–decoder is given what its encoder made: body.encode(inputs)"
        return self.attention.lower(view), context_BSC, view.cross()

    def forward(
        self, hidden_BTC: torch.Tensor, positions: Any, seen: Any, state: Any
    ) -> tuple[torch.Tensor, Any, dict[str, tuple[torch.Tensor, float]]]:
        own, context_BSC, crossed = seen
        of_own, of_context = (None, None) if state is None else state
        mixed_BTC, of_own = self.attention(self._given("attention", hidden_BTC), positions, own, of_own)
        hidden_BTC = self._added("attention", hidden_BTC, mixed_BTC)
        mixed_BTC, of_context = self.cross(self._given("cross", hidden_BTC), operand(context_BSC), crossed, of_context)
        hidden_BTC = self._added("cross", hidden_BTC, mixed_BTC)
        computed_BTC, auxiliary = self.feedforward(self._given("feedforward", hidden_BTC))
        hidden_BTC = self._added("feedforward", hidden_BTC, computed_BTC)
        return hidden_BTC, None if state is None else (of_own, of_context), auxiliary


class EncoderDecoder(Transformer):
    """Two stacks of the same parts and one token table."""

    block = CrossBlock

    def __init__(self, config: EncoderDecoderConfig, vocabulary: int) -> None:
        super().__init__(config, vocabulary)
        self.encoder = Stack(config.encoder)

    def layers(self) -> list[nn.Module]:
        return [*self.encoder.blocks, *self.blocks]

    def encode(
        self,
        inputs_BS: torch.Tensor,
        *,
        positions_BS: torch.Tensor | None = None,
        visibility: Visibility | Condition,
    ) -> Output:
        """hidden_BSC of the other text: the `context` of `forward`, whose visibility may say by `Cross` who sees what
        of it."""
        return self.encoder.run(self.tokens(inputs_BS), positions_BS, Visibility() & visibility)
