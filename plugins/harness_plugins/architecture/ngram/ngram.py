"""The last tokens of each place as its hidden state, and a head that has counted what follows them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.interfaces.architecture import Output
from harness.interfaces.batch import Batch
from harness.interfaces.visibility import Causal, Condition, SameDocument, Visibility
from harness.models.kneser_ney import KneserNey
from harness.models.learners import Seen
from harness.models.recurrent.body import stretches


class DecodingState:
    """The last tokens of each row, (B, K), and how many places there were."""

    def __init__(self, last_BK: torch.Tensor) -> None:
        self.last_BK = last_BK
        self.places = 0


class Contexts(nn.Module):
    """Tokens to hidden states of K channels: the numbers of the last K tokens that a place sees, itself the last; the
    number behind the vocabulary where there is none. K is order − 1, and 1 where that is 0."""

    embedding_VC: torch.Tensor

    def __init__(self, order: int, vocabulary: int) -> None:
        super().__init__()
        self.channels, self.nothing = max(order - 1, 1), vocabulary
        self.register_buffer("embedding_VC", torch.empty(vocabulary, 0), persistent=False)  # there is no table

    def start(self, batch: int, length: int) -> DecodingState:
        return DecodingState(self._nothing(batch, self.embedding_VC.device))

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
        """hidden_BTC at every place, float32. A state that is passed in has moved on when it is returned."""
        assert inputs_BT is not None, "n-grams are of tokens, which embeddings are not"
        assert context is None, "a decoder has no cross-attention"
        visibility = Visibility() & visibility
        assert Causal in visibility.kinds(), "an n-gram sees what is before a place only"
        rows, places = inputs_BT.shape
        stretches_BT = stretches(visibility, places, state.places if state else 0, inputs_BT.device)
        last_BK = state.last_BK if state else self._nothing(rows, inputs_BT.device)
        contexts_BTK, last_BK = last_tokens(inputs_BT, last_BK, stretches_BT, self.nothing)
        if state:
            state.last_BK, state.places = last_BK, state.places + places
        return Output(contexts_BTK.float(), state)

    def _nothing(self, rows: int, device: torch.device) -> torch.Tensor:
        return torch.full((rows, self.channels), self.nothing, device=device)


def last_tokens(
    inputs_BT: torch.Tensor, last_BK: torch.Tensor, stretches_BT: torch.Tensor | None, nothing: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T, K): at each place the last K tokens up to itself, those of other stretches replaced by nothing; and the
    last of all, (B, K), for the next pass. stretches_BT: as `harness.models.recurrent.body.stretches` makes them."""
    channels = last_BK.shape[1]
    whole = torch.cat((last_BK, inputs_BT), dim=1)
    contexts_BTK = whole.unfold(1, channels, 1)[:, 1:]
    last_BK = whole[:, inputs_BT.shape[1] :]
    if stretches_BT is not None:
        known = F.pad(stretches_BT, (channels, 0))
        contexts_BTK = contexts_BTK.where(known.unfold(1, channels, 1)[:, 1:] == stretches_BT[..., None], nothing)
        last_BK = last_BK.where(known[:, inputs_BT.shape[1] :] == stretches_BT[:, -1:], nothing)
    return contexts_BTK, last_BK


class Counting(KneserNey):
    """The head: log-probabilities, float64, in the place of logits. It counts the targets of each optimizer step after
    it, so that the step's loss is of what it has not counted yet."""

    learns = True

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(…, K) to (…, V)."""
        contexts_N = self.packed(hidden.long().flatten(0, -2))
        return self.distribution(contexts_N).log().unflatten(0, hidden.shape[:-1])

    @torch.no_grad()
    def learn(self, seen: Seen) -> None:
        """Counts every target that has a weight, after the tokens before it in its document."""
        for batch in seen.batches:
            tokens_NK = torch.cat((self._contexts(batch), batch.targets_BT[..., None]), dim=2)
            self.add(self.packed(tokens_NK[batch.weights_BT > 0]))

    def _contexts(self, batch: Batch) -> torch.Tensor:
        rows, places = batch.inputs_BT.shape
        seen = Visibility((Causal(),))
        if batch.documents_BT is not None:
            seen = seen & SameDocument(batch.documents_BT)
        before_BK = batch.inputs_BT.new_full((rows, max(self.order - 1, 1)), self.nothing)
        stretches_BT = stretches(seen, places, 0, batch.inputs_BT.device)
        return last_tokens(batch.inputs_BT, before_BK, stretches_BT, self.nothing)[0]
