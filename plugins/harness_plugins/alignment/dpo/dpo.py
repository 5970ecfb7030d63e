"""The loss of pairs of answers, of which the reference's log-probabilities are known."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from harness.data.pairs import ANSWERS, answered
from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.method import LogProbabilities
from harness.interfaces.visibility import Causal
from harness.models.log_probabilities import log_probabilities
from harness.models.visibility import padded_behind


class DirectPreferenceOptimisation:
    """−(1 − ε) log σ(m) − ε log σ(−m) for each pair, where the margin m is that of the implicit rewards

        m = β [(log π(y_w | x) − log π_ref(y_w | x)) − (log π(y_l | x) − log π_ref(y_l | x))]

    (Rafailov et al. 2023, equation 7; with label smoothing ε, Mitchell 2023, "A note on DPO with noisy preferences").
    A batch has 2·B rows: the prompts with their better answers, then with their worse ones.
    """

    told = ("preference_accuracy", "preference_margin", "policy_accuracy", "reference_accuracy")

    def __init__(
        self,
        beta: float,
        label_smoothing: float,
        reference: LogProbabilities,
        sequence_length: int,
        logits_chunk: int | None = None,
    ) -> None:
        self.beta, self.label_smoothing, self.reference = beta, label_smoothing, reference
        self.sequence_length, self.logits_chunk = sequence_length, logits_chunk

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        assert sequences.sources_B is not None
        assert sequences.numbers_B is not None
        rows = answered(sequences, self.sequence_length, shift=1)
        tokens_RS = torch.from_numpy(rows.tokens_RS)
        reference_BA = self.reference(sequences.sources_B, sequences.numbers_B)
        return Batch(
            inputs_BT=tokens_RS[:, :-1],
            targets_BT=tokens_RS[:, 1:],
            weights_BT=torch.from_numpy(rows.is_answer_RS[:, 1:]).float(),
            places_B=torch.from_numpy(sequences.places_B).repeat(ANSWERS),
            extra={"reference_BA": torch.from_numpy(reference_BA)},
        )

    def counts(self, batch: Batch) -> dict[str, float]:
        return dict.fromkeys(("dpo", *self.told), float(len(batch.extra["reference_BA"])))

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """The loss, and what is told: preference_accuracy, the share of pairs with a positive margin, against the
        reference; preference_margin, its mean, in units of reward; policy_accuracy and reference_accuracy, the shares
        of pairs whose better answer is the likelier one under the policy, and under the reference."""
        policy_BA, auxiliary = self._policy(model, batch)
        margins_B, reference_BA = self._margins(policy_BA, batch), batch.extra["reference_BA"]
        losses_B = -(1 - self.label_smoothing) * F.logsigmoid(margins_B)
        losses_B = losses_B - self.label_smoothing * F.logsigmoid(-margins_B)
        told = {
            "preference_accuracy": (margins_B > 0).sum(),
            "preference_margin": margins_B.sum(),
            "policy_accuracy": (policy_BA[:, 0] > policy_BA[:, 1]).sum(),
            "reference_accuracy": (reference_BA[:, 0] > reference_BA[:, 1]).sum(),
        }
        return {"dpo": losses_B.sum().float(), **told, **auxiliary}

    def _policy(self, model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The log-probability of each answer, float64 (pairs, answers), and the body's auxiliary losses."""
        output = model.body(batch.inputs_BT, visibility=Causal() & padded_behind(batch.weights_BT))
        head = model.heads["language_model"]
        logp_R = log_probabilities(head, output.hidden_BTC, batch.targets_BT, batch.weights_BT, self.logits_chunk)
        auxiliary = {name: total / count for name, (total, count) in output.auxiliary.items()}
        return logp_R.reshape(ANSWERS, -1).T, auxiliary

    def _margins(self, policy_BA: torch.Tensor, batch: Batch) -> torch.Tensor:
        gained_BA = policy_BA - batch.extra["reference_BA"]
        return self.beta * (gained_BA[:, 0] - gained_BA[:, 1])
