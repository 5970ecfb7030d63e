"""The transformer's body (Vaswani et al. 2017), made of parts."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from harness.interfaces.architecture import Output
from harness.interfaces.visibility import Causal, Condition, Visibility
from harness.models.auxiliary import Losses, added
from harness.models.initialise import normal
from harness.models.load import tell_real
from harness.models.model import Model
from harness.models.position import Position
from harness.models.visibility import View
from harness.models.widening import growth
from harness_plugins.architecture.transformer import TransformerConfig


class DecodingState:
    """What each layer keeps of the places so far, and how many those are."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        self.places = 0


class Block(nn.Module):
    """One layer: attention and feedforward, one after the other or side by side, added to the residual stream."""

    def __init__(self, config: TransformerConfig, position: Position) -> None:
        super().__init__()
        self.attention_norm = config.norm.build(config.width)
        self.attention = config.attention.build(config.width, position)
        if config.parallel != "one_norm":
            self.feedforward_norm = config.norm.build(config.width)
        self.feedforward = config.feedforward.build(config.width)
        self.dropout = nn.Dropout(config.residual_dropout)
        self.placement, self.parallel = config.placement, config.parallel
        if config.placement == "sandwich":
            self.attention_norm_after = config.norm.build(config.width)
            self.feedforward_norm_after = config.norm.build(config.width)

    def start(self, batch: int, length: int) -> Any:
        """An empty decoding state of this layer."""
        return self.attention.start(batch, length)

    def lower(self, view: View, context_BSC: torch.Tensor | None) -> Any:
        """What `forward` is told of what is seen: made outside of what is compiled and computed again."""
        assert context_BSC is None, "a decoder has no cross-attention"
        return self.attention.lower(view)

    def forward(
        self, hidden_BTC: torch.Tensor, positions: Any, seen: Any, state: Any
    ) -> tuple[torch.Tensor, Any, Losses]:
        """(hidden_BTC, state, auxiliary losses). seen: what `lower` made of the visibility."""
        given_BTC = self._given("attention", hidden_BTC)
        mixed_BTC, state = self.attention(given_BTC, positions, seen, state)
        if self.parallel == "none":
            hidden_BTC = self._added("attention", hidden_BTC, mixed_BTC)
        if self.parallel != "one_norm":
            given_BTC = self._given("feedforward", hidden_BTC)
        computed_BTC, auxiliary = self.feedforward(given_BTC)
        if self.parallel != "none":
            hidden_BTC = self._added("attention", hidden_BTC, mixed_BTC)
        return self._added("feedforward", hidden_BTC, computed_BTC), state, auxiliary

    def _given(self, part: str, hidden_BTC: torch.Tensor) -> torch.Tensor:
        """What attention or feedforward is given of the residual stream."""
        if self.placement != "post":
            hidden_BTC = getattr(self, f"{part}_norm")(hidden_BTC)
        return operand(hidden_BTC)

    def _added(self, part: str, hidden_BTC: torch.Tensor, made_BTC: torch.Tensor) -> torch.Tensor:
        """The residual stream with what attention or feedforward made of it."""
        if self.placement == "sandwich":
            made_BTC = getattr(self, f"{part}_norm_after")(made_BTC)
        hidden_BTC = hidden_BTC + self.dropout(made_BTC)
        if self.placement == "post":
            hidden_BTC = getattr(self, f"{part}_norm")(hidden_BTC)
        return hidden_BTC


def operand(hidden_BTC: torch.Tensor) -> torch.Tensor:
    """In what autocast computes matrix products in, so that those that take the same do not each keep a copy."""
    device = hidden_BTC.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return hidden_BTC
    return hidden_BTC.to(torch.get_autocast_dtype(device))


class Stack(nn.Module):
    """Embeddings to hidden states: positions, layers, and a last norm, mostly where the norms stand before."""

    #: What its layers are.
    block: type[Block] = Block

    def __init__(self, config: TransformerConfig, vocabulary: int | None = None) -> None:
        """vocabulary: of its own token table; None: it has none."""
        super().__init__()
        self.config = config
        if vocabulary is not None:
            self.tokens = nn.Embedding(vocabulary, config.width)
        self.position = config.placed().build(
            config.width, config.attention.heads, config.attention.head_width(config.width)
        )
        self.embedding_norm = config.norm.build(config.width) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.embedding_dropout)
        self.blocks = nn.ModuleList(self.block(block, self.position) for block in config.layer_blocks())
        self.norm = config.norm.build(config.width) if config.ends_normed else nn.Identity()

    def run(
        self,
        hidden_BTC: torch.Tensor,
        positions_BT: torch.Tensor | None,
        visibility: Visibility,
        state: DecodingState | None = None,
        segments_BTC: torch.Tensor | None = None,
        context_BSC: torch.Tensor | None = None,
    ) -> Output:
        """hidden_BTC: rows of the token table. segments_BTC: what is added to them beside their positions."""
        places, offset = hidden_BTC.shape[1], state.places if state is not None else 0
        view = self.view(visibility, places, offset, hidden_BTC)
        tell_real(self.blocks, visibility, places, offset)
        positions = positions_BT
        if positions is None:
            positions = torch.arange(offset, offset + places, device=hidden_BTC.device)
        hidden_BTC = self._embedded(hidden_BTC, positions, segments_BTC)
        prepared = self.position.prepare(positions)

        auxiliary: Losses = {}
        for layer, block in enumerate(cast(list[Block], list(self.blocks))):
            before = state.layers[layer] if state is not None else None
            hidden_BTC, after, losses = block(hidden_BTC, prepared, block.lower(view, context_BSC), before)
            if state is not None:
                state.layers[layer] = after
            auxiliary = added(auxiliary, losses)
        if state is not None:
            state.places += places
        return Output(self.norm(hidden_BTC), state, auxiliary)

    def _embedded(
        self, hidden_BTC: torch.Tensor, positions: torch.Tensor, segments_BTC: torch.Tensor | None
    ) -> torch.Tensor:
        """Rows of the token table to what the first layer is given."""
        if self.config.scale_embeddings:
            hidden_BTC = hidden_BTC * (self.config.base_width or self.config.width) ** 0.5
        hidden_BTC = self.position.embed(hidden_BTC, positions)
        if segments_BTC is not None:
            hidden_BTC = hidden_BTC + segments_BTC
        return self.dropout(self.embedding_norm(hidden_BTC))

    def view(self, visibility: Visibility, places: int, offset: int, hidden_BTC: torch.Tensor) -> View:
        """What the places of this pass see, and the bias of their distances in the dtype of queries and keys."""
        bias = self.position.bias(places, offset, Causal in visibility.kinds(), hidden_BTC.device)
        if bias is not None:
            bias = bias.to(operand(hidden_BTC).dtype)
        return View(visibility, places, offset, hidden_BTC.device, bias)


class Transformer(Stack):
    """Tokens to hidden states: a stack of layers and the token table."""

    def __init__(self, config: TransformerConfig, vocabulary: int) -> None:
        super().__init__(config, vocabulary)
        if config.segments:
            self.segments = nn.Embedding(config.segments, config.width)

    @property
    def embedding_VC(self) -> torch.Tensor:
        return self.tokens.weight

    def start(self, batch: int, length: int) -> DecodingState:
        return DecodingState([block.start(batch, length) for block in cast(list[Block], list(self.blocks))])

    def layers(self) -> list[nn.Module]:
        """What is sharded, compiled and computed again one by one."""
        return list(self.blocks)

    def forward(
        self,
        inputs_BT: torch.Tensor | None = None,
        *,
        embeddings_BTC: torch.Tensor | None = None,
        positions_BT: torch.Tensor | None = None,
        segments_BT: torch.Tensor | None = None,
        context: Any = None,
        visibility: Visibility | Condition,
        state: DecodingState | None = None,
    ) -> Output:
        """hidden_BTC at every place. A state that is passed in has moved on when it is returned.

        embeddings_BTC: in place of rows of the token table. segments_BT: each place's kind of segment; None: the first.
        """
        hidden_BTC = self.tokens(inputs_BT) if embeddings_BTC is None else embeddings_BTC
        segments_BTC = None
        if self.config.segments:
            kinds = torch.zeros_like(hidden_BTC[..., 0], dtype=torch.int64) if segments_BT is None else segments_BT
            segments_BTC = self.segments(kinds)
        return self.run(hidden_BTC, positions_BT, Visibility() & visibility, state, segments_BTC, context)

    def initialise(self, model: Model) -> None:
        """N(0, init_std) for matrices and embeddings; smaller by √(2 × layers) where one writes to the residual stream.

        GPT-2 (Radford et al. 2019, section 2.3) scales so; LLaMA's paper does not say what it does, and its presets
        follow `transformers`, which does not scale.
        """
        residual = self.config.init_std / (2 * self.config.layers) ** 0.5 if self.config.init_scale_residual else None
        if self.config.base_width is not None:
            model.growth = growth(model, self.config.times_base)
        normal(model, self.config.init_std, residual, model.growth)
