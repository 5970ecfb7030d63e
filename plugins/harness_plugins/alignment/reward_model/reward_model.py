"""The Bradley–Terry loss of pairs of answers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from harness.data.pairs import ANSWERS, answered
from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.visibility import Causal
from harness.models.visibility import padded_behind


class RewardModel:
    """−log σ(r_w − r_l) for each pair, where r is the reward head's value at an answer's last token (Stiennon et al.
    2020, section 3.4). A batch has 2·B rows: the prompts with their better answers, then with their worse ones; whole,
    since nothing in them is foretold.
    """

    told = ("preference_accuracy", "preference_margin")

    def __init__(self, sequence_length: int) -> None:
        self.sequence_length = sequence_length

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        rows = answered(sequences, self.sequence_length, shift=0)
        tokens_RS = torch.from_numpy(rows.tokens_RS)
        weights_RS = torch.zeros(tokens_RS.shape)
        weights_RS[torch.arange(len(tokens_RS)), torch.from_numpy(rows.lengths_R) - 1] = 1.0
        return Batch(
            inputs_BT=tokens_RS,
            targets_BT=torch.zeros_like(tokens_RS),
            weights_BT=weights_RS,
            places_B=torch.from_numpy(sequences.places_B).repeat(ANSWERS),
        )

    def counts(self, batch: Batch) -> dict[str, float]:
        return dict.fromkeys(("reward_model", *self.told), len(batch.places_B) / ANSWERS)

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """The loss, and what is told: preference_accuracy, the share of pairs whose better answer has the higher
        reward; preference_margin, the mean difference of the rewards."""
        rewards_BA, auxiliary = self._rewards(model, batch)
        margins_B = rewards_BA[:, 0] - rewards_BA[:, 1]
        told = {"preference_accuracy": (margins_B > 0).sum(), "preference_margin": margins_B.sum()}
        return {"reward_model": -F.logsigmoid(margins_B).sum(), **told, **auxiliary}

    def _rewards(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The reward of each answer, float32 (pairs, answers), and the body's auxiliary losses."""
        output = model.body(batch.inputs_BT, visibility=Causal() & padded_behind(batch.weights_BT))
        rows_R, last_R = batch.weights_BT.nonzero(as_tuple=True)
        rewards_R = model.heads["reward"](output.hidden_BTC[rows_R, last_R]).float()
        auxiliary = {name: total / count for name, (total, count) in output.auxiliary.items()}
        return rewards_R.reshape(ANSWERS, -1).T, auxiliary
