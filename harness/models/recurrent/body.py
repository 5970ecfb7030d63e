"""The body of recurrent architectures: embeddings, residual layers, decoding state, and where memory starts anew.

A mixer is a module, (hidden_BTC, stretches_BT, state) → (hidden_BTC, state). state: what it returned for the places
before, of constant size; None: there were none. stretches_BT: as `stretches` makes them; None: nothing starts anew.
Where one has parameters that start as no others do, its ``initialise()`` sets them, after all others have been drawn.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from harness.interfaces.architecture import Output
from harness.interfaces.visibility import Causal, Condition, NotBefore, SameDocument, Visibility
from harness.models.auxiliary import Losses, added
from harness.models.initialise import normal
from harness.models.load import tell_real
from harness.models.recurrent import RecurrentConfig


def stretches(visibility: Visibility, places: int, offset: int, device: torch.device) -> torch.Tensor | None:
    """Numbers of the stretches of places that share a memory, int64 of shape (B or 1, places); None: there is one.

    0 goes on from the decoding state, which holds `offset` places; where a document starts, or padding ends, the next
    number begins.
    """
    place = torch.arange(offset, offset + places, device=device)
    fresh = torch.zeros(1, places, dtype=torch.bool, device=device)
    for condition in visibility.conditions:
        match condition:
            case NotBefore(starts_B=starts_B):
                assert starts_B is not None
                fresh = fresh | (place == starts_B[:, None])
            case SameDocument(documents_BT=documents_BT):
                assert documents_BT is not None
                before = (place - 1).clamp(min=0)
                fresh = fresh | (documents_BT[:, place] != documents_BT[:, before])
    if not visibility.kinds() & {NotBefore, SameDocument}:
        return None
    return fresh.cumsum(dim=1)


def earlier(
    hidden_BTC: torch.Tensor, count: int, stretches_BT: torch.Tensor | None, kept_BKC: torch.Tensor | None
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What stood one place before each place, two places before, … and `count`, zero where memory does not reach; and
    what is kept of the last `count` places for the next pass."""
    rows, places, channels = hidden_BTC.shape
    if kept_BKC is None:
        kept_BKC = hidden_BTC.new_zeros(rows, count, channels)
    whole = torch.cat((kept_BKC, hidden_BTC), dim=1)
    found = [whole[:, count - back : count - back + places] for back in range(1, count + 1)]
    kept_BKC = whole[:, places:]
    if stretches_BT is not None:
        known = F.pad(stretches_BT, (count, 0))
        found = [
            before * (known[:, count - back : count - back + places] == stretches_BT)[..., None]
            for back, before in enumerate(found, start=1)
        ]
        kept_BKC = kept_BKC * (known[:, places:] == stretches_BT[:, -1:])[..., None]
    return found, kept_BKC


class DecodingState:
    """What the mixers of each layer keep of the places so far, and how many those are."""

    def __init__(self, layers: int) -> None:
        self.layers: list[Any] = [None] * layers
        self.places = 0


class Block(nn.Module):
    """One layer: mixers, and a feedforward if there is one, each given the normed residual stream and added to it."""

    def __init__(self, config: RecurrentConfig, layer: int) -> None:
        super().__init__()
        mixers, feedforward = config.mixers(layer), getattr(config, "feedforward", None)
        self.mixers = list(mixers)
        for name, mixer in mixers.items():
            self.add_module(f"{name}_norm", config.norm.build(config.width))
            self.add_module(name, mixer)
        if feedforward:
            self.feedforward_norm = config.norm.build(config.width)
        self.feedforward = feedforward.build(config.width) if feedforward else None
        self.dropout = nn.Dropout(config.residual_dropout)

    def forward(
        self, hidden_BTC: torch.Tensor, stretches_BT: torch.Tensor | None, state: Any
    ) -> tuple[torch.Tensor, dict[str, Any], Losses]:
        """(hidden_BTC, the state of each mixer, auxiliary losses)."""
        after: dict[str, Any] = {}
        for name in self.mixers:
            mixer, norm = self.get_submodule(name), self.get_submodule(f"{name}_norm")
            mixed_BTC, after[name] = mixer(norm(hidden_BTC), stretches_BT, None if state is None else state[name])
            hidden_BTC = hidden_BTC + self.dropout(mixed_BTC)
        if self.feedforward is None:
            return hidden_BTC, after, {}
        computed_BTC, auxiliary = self.feedforward(self.feedforward_norm(hidden_BTC))
        return hidden_BTC + self.dropout(computed_BTC), after, auxiliary


class Recurrent(nn.Module):
    """Tokens to hidden states: embeddings, layers, and a last norm."""

    def __init__(self, config: RecurrentConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(vocabulary, config.width)
        self.embedding_norm = config.norm.build(config.width) if config.embedding_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = config.norm.build(config.width)

    @property
    def embedding_VC(self) -> torch.Tensor:
        return self.tokens.weight

    def start(self, batch: int, length: int) -> DecodingState:
        return DecodingState(len(self.blocks))

    def layers(self) -> list[Block]:
        return cast(list[Block], list(self.blocks))

    def forward(
        self,
        inputs_BT: torch.Tensor | None = None,
        *,
        embeddings_BTC: torch.Tensor | None = None,
        positions_BT: torch.Tensor | None = None,
        context: Any = None,
        visibility: Visibility | Condition,
        state: DecodingState | None = None,
    ) -> Output:
        """hidden_BTC at every place. A state that is passed in has moved on when it is returned.

        embeddings_BTC: in place of rows of the token table. positions_BT changes nothing: memory knows no places.
        """
        assert context is None, "a recurrent body has no cross-attention"
        visibility = Visibility() & visibility
        assert Causal in visibility.kinds(), "a recurrent body sees what is before a place only"
        hidden_BTC = self.tokens(inputs_BT) if embeddings_BTC is None else embeddings_BTC
        places, offset = hidden_BTC.shape[1], state.places if state is not None else 0
        stretches_BT = stretches(visibility, places, offset, hidden_BTC.device)
        tell_real(self.blocks, visibility, places, offset)
        hidden_BTC = self.embedding_norm(hidden_BTC)

        auxiliary: Losses = {}
        for layer, block in enumerate(self.layers()):
            before = state.layers[layer] if state is not None else None
            hidden_BTC, after, losses = block(hidden_BTC, stretches_BT, before)
            if state is not None:
                state.layers[layer] = after
            auxiliary = added(auxiliary, losses)
        if state is not None:
            state.places += places
        return Output(self.norm(hidden_BTC), state, auxiliary)

    def initialise(self, model: nn.Module) -> None:
        """N(0, init_std) for matrices and embeddings, smaller where a matrix writes to the residual stream (GPT-2,
        section 2.3); then what each mixer has of its own."""
        config = self.config
        if config.embedding_std is not None:
            self.tokens.starts = {"weight": config.embedding_std}  # type: ignore[assignment]
        added = config.layers * config.added  # over all layers
        normal(model, config.init_std, config.init_std / added**0.5 if config.init_scale_residual else None)
        module: Any
        for module in self.blocks.modules():
            if hasattr(module, "initialise"):
                module.initialise()
