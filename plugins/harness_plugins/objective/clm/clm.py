"""The cross-entropy of each token given those before it, in nats."""

from __future__ import annotations

from typing import Any

import torch

from harness.data.stream import positions_within
from harness.interfaces.architecture import Output
from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.visibility import Causal, SameDocument, Visibility
from harness.models.cross_entropy import cross_entropy


class CausalLanguageModelling:
    """−Σ log p(token | those before it).

    Every target counts once, also the first token of a document: it follows an `end`, and what comes after
    `end` is what the model is asked for when it is scored on an empty context.
    """

    name = "clm"

    def __init__(self, attend_across_documents: bool, logits_chunk: int | None = None) -> None:
        self.attend_across_documents, self.logits_chunk = attend_across_documents, logits_chunk

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        tokens_BS = torch.from_numpy(sequences.tokens_BS)
        batch = Batch(
            inputs_BT=tokens_BS[:, :-1],
            targets_BT=tokens_BS[:, 1:],
            weights_BT=torch.ones(tokens_BS.shape[0], tokens_BS.shape[1] - 1),
            places_B=torch.from_numpy(sequences.places_B),
        )
        if not self.attend_across_documents:
            documents_BT = sequences.documents_BS[:, :-1]
            batch.documents_BT = torch.from_numpy(documents_BT.copy())
            batch.positions_BT = torch.from_numpy(positions_within(documents_BT))
        return batch

    def counts(self, batch: Batch) -> dict[str, float]:
        return {self.name: float(batch.weights_BT.sum())}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        output = seen(model, batch)
        head = model.heads["language_model"]
        nats = cross_entropy(head, output.hidden_BTC, batch.targets_BT, batch.weights_BT, self.logits_chunk)
        auxiliary = {name: total / count for name, (total, count) in output.auxiliary.items()}
        return {self.name: nats, **auxiliary}


def seen(model: Any, batch: Batch) -> Output:
    """What the body makes of the inputs: each place of those before it, in its own document where they stand apart."""
    visibility = Visibility((Causal(),))
    if batch.documents_BT is not None:
        visibility = visibility & SameDocument(batch.documents_BT)
    output: Output = model.body(batch.inputs_BT, positions_BT=batch.positions_BT, visibility=visibility)
    return output
