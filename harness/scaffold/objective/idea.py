"""Rows to a batch, and the batch to a sum of nats."""

from __future__ import annotations

from typing import Any

import torch

from harness.data.stream import positions_within
from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.visibility import Causal, SameDocument, Visibility
from harness.models.cross_entropy import cross_entropy


class MineObjective:
    """−Σ log p(token | those before it) over places from `skip` on. The loop divides sums by `counts`."""

    def __init__(self, skip: int, attend_across_documents: bool, logits_chunk: int | None) -> None:
        self.skip, self.attend_across_documents, self.logits_chunk = skip, attend_across_documents, logits_chunk

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        """Weights say which targets count. What is drawn by chance would come from ``randomness(place of the row)``."""
        tokens_BS = torch.from_numpy(sequences.tokens_BS)
        inputs_BT, targets_BT = tokens_BS[:, :-1], tokens_BS[:, 1:]
        batch = Batch(inputs_BT, targets_BT, torch.ones(inputs_BT.shape), torch.from_numpy(sequences.places_B))
        if self.attend_across_documents:
            batch.weights_BT[:, : self.skip] = 0.0
        else:
            documents_BT = sequences.documents_BS[:, :-1]
            batch.documents_BT = torch.from_numpy(documents_BT.copy())
            batch.positions_BT = torch.from_numpy(positions_within(documents_BT))
            batch.weights_BT[batch.positions_BT < self.skip] = 0.0
        return batch

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"mine": float(batch.weights_BT.sum())}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        visibility = Visibility((Causal(),))
        if batch.documents_BT is not None:
            visibility = visibility & SameDocument(batch.documents_BT)
        output = model.body(batch.inputs_BT, positions_BT=batch.positions_BT, visibility=visibility)
        head = model.heads["language_model"]
        nats = cross_entropy(head, output.hidden_BTC, batch.targets_BT, batch.weights_BT, self.logits_chunk)
        auxiliary = {name: total / count for name, (total, count) in output.auxiliary.items()}
        return {"mine": nats, **auxiliary}
