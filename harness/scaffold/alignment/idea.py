"""The loss of pairs of answers."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import logsigmoid

from harness.data.pairs import answered
from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.visibility import Causal, Visibility
from harness.models.log_probabilities import log_probabilities


class MineAlignment:
    """−log σ(β/|y_w| · log π(y_w | x) − β/|y_l| · log π(y_l | x) − γ) for each pair (Meng et al. 2024, equation 6)."""

    told = ("preference_accuracy", "preference_margin")

    def __init__(self, beta: float, gamma: float, sequence_length: int) -> None:
        self.beta, self.gamma, self.sequence_length = beta, gamma, sequence_length

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        rows = answered(sequences, self.sequence_length, shift=1)  # the better answers, then the worse ones
        tokens_RS = torch.from_numpy(rows.tokens_RS)
        is_answer_RT = torch.from_numpy(rows.is_answer_RS[:, 1:]).float()
        places_R = torch.from_numpy(sequences.places_B).repeat(2)
        return Batch(tokens_RS[:, :-1], tokens_RS[:, 1:], is_answer_RT, places_R)

    def counts(self, batch: Batch) -> dict[str, float]:
        return dict.fromkeys(("mine", *self.told), len(batch.weights_BT) / 2)

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        output = model.body(batch.inputs_BT, visibility=Visibility((Causal(),)))
        head = model.heads["language_model"]
        logp_R = log_probabilities(head, output.hidden_BTC, batch.targets_BT, batch.weights_BT)
        better_B, worse_B = (self.beta * logp_R / batch.weights_BT.sum(1)).chunk(2)
        margins_B = better_B - worse_B
        told = {"preference_accuracy": (margins_B > 0).sum(), "preference_margin": margins_B.sum()}
        auxiliary = {name: total / count for name, (total, count) in output.auxiliary.items()}
        return {"mine": -logsigmoid(margins_B - self.gamma).sum().float(), **told, **auxiliary}
