"""LSTM or GRU layers one above the other, and rows cut into pieces where memory starts anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from harness.interfaces.architecture import Output
from harness.interfaces.visibility import Causal, Condition, Visibility
from harness.models.initialise import normal
from harness.models.recurrent.body import stretches
from harness_plugins.architecture.gated_recurrent import GatedRecurrentConfig, LstmConfig

ROLES = {"weight_ih_l0": "matrix", "weight_hh_l0": "matrix", "bias_ih_l0": "bias", "bias_hh_l0": "bias"}

#: The tensors of one layer's state, each (1, B, hidden): hidden and cell of an LSTM, hidden of a GRU.
Memory = tuple[torch.Tensor, ...]


class Lstm(nn.LSTM):
    roles = ROLES


class Gru(nn.GRU):
    roles = ROLES


class DecodingState:
    """What each layer remembers, and how many places that comes from."""

    def __init__(self, layers: int) -> None:
        self.layers: list[Memory | None] = [None] * layers
        self.places = 0


@dataclass(frozen=True)
class Pieces:
    """Rows cut where memory starts anew, so that each of S pieces is a sequence of its own.

    lengths: places of each piece, row after row. first_B, last_B: the numbers of each row's first and last piece.
    goes_on_B: whether the first goes on from the decoding state.
    """

    lengths: list[int]
    first_B: torch.Tensor
    last_B: torch.Tensor
    goes_on_B: torch.Tensor

    @classmethod
    def of(cls, stretches_BT: torch.Tensor) -> Pieces:
        """stretches_BT: as `harness.models.recurrent.body.stretches` makes them."""
        begins_BT = stretches_BT != F.pad(stretches_BT, (1, 0), value=-1)[:, :-1]
        begins_N = begins_BT.flatten().nonzero().squeeze(1)
        lengths = begins_N.diff(append=begins_N.new_tensor([begins_BT.numel()])).tolist()
        counts_B = begins_BT.sum(1)
        last_B = counts_B.cumsum(0) - 1
        return cls(lengths, last_B - counts_B + 1, last_B, stretches_BT[:, 0] == 0)

    def pack(self, hidden_BTC: torch.Tensor) -> PackedSequence:
        return pack_sequence(hidden_BTC.flatten(0, 1).split(self.lengths), enforce_sorted=False)

    def unpack(self, packed: PackedSequence, rows: int) -> torch.Tensor:
        return torch.cat(unpack_sequence(packed)).unflatten(0, (rows, -1))

    def begin(self, memory: Memory) -> Memory:
        """What each piece remembers at its start, (1, S, hidden): nothing, but for those that go on."""
        found = []
        for kept_1BC in memory:
            start_1SC = kept_1BC.new_zeros(1, len(self.lengths), kept_1BC.shape[2])
            start_1SC[:, self.first_B] = kept_1BC * self.goes_on_B[:, None]
            found.append(start_1SC)
        return tuple(found)

    def end(self, memory: Memory) -> Memory:
        """What each row remembers after its last piece."""
        return tuple(of_pieces_1SC[:, self.last_B] for of_pieces_1SC in memory)


class Layer(nn.Module):
    """One recurrent layer, of PyTorch's own, with dropout of what it is given from below."""

    def __init__(self, config: GatedRecurrentConfig, given: int) -> None:
        super().__init__()
        kind = Lstm if isinstance(config, LstmConfig) else Gru
        self.cell = kind(given, config.channels, batch_first=True)
        std = config.channels**-0.5
        self.cell.starts = {"weight_ih_l0": std, "weight_hh_l0": std}
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, hidden_BTC: torch.Tensor, pieces: Pieces | None, memory: Memory | None
    ) -> tuple[torch.Tensor, Memory]:
        """(hidden_BTC, what is remembered after it). pieces: None where every row is one."""
        given_BTC = self.dropout(hidden_BTC)
        if pieces is None:
            return self._run(given_BTC, memory)
        packed, memory = self._run(pieces.pack(given_BTC), pieces.begin(memory) if memory else None)
        return pieces.unpack(packed, len(hidden_BTC)), pieces.end(memory)

    def _run(self, given: Any, memory: Memory | None) -> tuple[Any, Memory]:
        if isinstance(self.cell, Lstm):
            made, after = self.cell(given, memory)
            return made, after
        made, hidden_1BC = self.cell(given, memory[0] if memory else None)
        return made, (hidden_1BC,)


class Stack(nn.Module):
    """Tokens to hidden states: embeddings, layers, and a projection where the layers have another width."""

    def __init__(self, config: GatedRecurrentConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(vocabulary, config.width)
        self.tokens.starts = {"weight": config.embedding_std}  # type: ignore[assignment]
        self.blocks = nn.ModuleList(
            Layer(config, config.channels if above else config.width) for above in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        differs = config.channels != config.width
        self.projection = nn.Linear(config.channels, config.width, bias=False) if differs else nn.Identity()

    @property
    def embedding_VC(self) -> torch.Tensor:
        return self.tokens.weight

    def start(self, batch: int, length: int) -> DecodingState:
        return DecodingState(len(self.blocks))

    def layers(self) -> list[Layer]:
        return cast(list[Layer], list(self.blocks))

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
        rows, places, _ = hidden_BTC.shape
        stretches_BT = stretches(visibility, places, state.places if state else 0, hidden_BTC.device)
        pieces = None
        if stretches_BT is not None and stretches_BT.any():  # where nothing starts anew, rows stay whole
            pieces = Pieces.of(stretches_BT.expand(rows, -1))
        for number, layer in enumerate(self.layers()):
            hidden_BTC, after = layer(hidden_BTC, pieces, state.layers[number] if state else None)
            if state:
                state.layers[number] = after
        if state:
            state.places += places
        return Output(self.projection(self.dropout(hidden_BTC)), state)

    @torch.no_grad()
    def initialise(self, model: nn.Module) -> None:
        """N(0, 1/√hidden) for the matrices of the layers, init_std for others; biases zero but the forget gates'."""
        normal(model, self.config.init_std)
        if isinstance(self.config, LstmConfig):
            for layer in self.layers():  # PyTorch's order of gates: input, forget, cell, output
                layer.cell.get_parameter("bias_ih_l0").chunk(4)[1].fill_(self.config.forget_bias)
