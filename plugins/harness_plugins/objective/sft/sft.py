"""The cross-entropy of the answers' tokens, in nats, each given all of its conversation that stands before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from harness.data.stream import positions_within
from harness.interfaces.batch import ANSWER, PADDING, Batch, Randomness, Sequences
from harness.interfaces.visibility import Causal, SameDocument
from harness.models.cross_entropy import cross_entropy
from harness.models.visibility import padded_behind


class SupervisedFineTuning:
    """−Σ log p(token | those before it in its conversation), over the tokens that an assistant says.

    The end of an answer is one of them. Packed conversations neither see each other nor know where in the row they
    stand, and the first token of a conversation, before which there is nothing, is never a target.
    """

    def __init__(self, packing: bool, sequence_length: int, logits_chunk: int | None = None) -> None:
        self.packing, self.sequence_length, self.logits_chunk = packing, sequence_length, logits_chunk

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        """Rows of sequence_length places: those behind the last conversation are padding, which counts for nothing and
        is seen by nothing."""
        assert sequences.parts_BS is not None
        tokens_BS = self._filled(sequences.tokens_BS, 0)
        parts_BS = self._filled(sequences.parts_BS, PADDING)
        documents_BS = self._filled(sequences.documents_BS, -1)
        goes_on_BT = documents_BS[:, 1:] == documents_BS[:, :-1]
        batch = Batch(
            inputs_BT=torch.from_numpy(tokens_BS[:, :-1]),
            targets_BT=torch.from_numpy(tokens_BS[:, 1:]),
            weights_BT=torch.from_numpy(np.float32((parts_BS[:, 1:] == ANSWER) & goes_on_BT)),
            places_B=torch.from_numpy(sequences.places_B),
        )
        if self.packing:
            documents_BT = documents_BS[:, :-1]
            batch.documents_BT = torch.from_numpy(documents_BT.copy())
            batch.positions_BT = torch.from_numpy(positions_within(documents_BT))
        return batch

    def _filled(self, rows_BS: np.ndarray, padding: int) -> np.ndarray:
        missing = self.sequence_length + 1 - rows_BS.shape[1]
        return np.pad(rows_BS, [(0, 0), (0, missing)], constant_values=padding)

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"sft": float(batch.weights_BT.sum())}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        output = _seen(model, batch)
        head = model.heads["language_model"]
        nats = cross_entropy(head, output.hidden_BTC, batch.targets_BT, batch.weights_BT, self.logits_chunk)
        auxiliary = {name: total / count for name, (total, count) in output.auxiliary.items()}
        return {"sft": nats, **auxiliary}

    def measures(self, model: Any, batch: Batch) -> dict[str, tuple[float, float]]:
        """answer_accuracy: the share of the answers' tokens that have the highest logit where they stand."""
        is_answer_BT = batch.weights_BT > 0
        hidden_NC = _seen(model, batch).hidden_BTC[is_answer_BT]
        head, chunk = model.heads["language_model"], self.logits_chunk or max(1, len(hidden_NC))
        guesses = [head(own_NC).argmax(-1) for own_NC in hidden_NC.split(chunk)]
        right_N = torch.cat(guesses) == batch.targets_BT[is_answer_BT]
        return {"answer_accuracy": (float(right_N.sum()), float(len(right_N)))}


def _seen(model: Any, batch: Batch) -> Any:
    """What the body makes of the inputs; packed conversations are hidden from each other. Behind the last answer, where
    nothing is learned, all is padding."""
    visibility = Causal() & padded_behind(batch.weights_BT)
    if batch.documents_BT is not None:
        visibility = visibility & SameDocument(batch.documents_BT)
    return model.body(batch.inputs_BT, positions_BT=batch.positions_BT, visibility=visibility)
