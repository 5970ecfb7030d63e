"""The ideas themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from harness.data.pairs import answered
from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.visibility import Causal, Visibility
from harness.models.log_probabilities import log_probabilities


class Mean(nn.Module):
    """The running mean of the hidden states, through one matrix. It takes no decoding state."""

    def __init__(self, width: int, gain: float) -> None:
        super().__init__()
        self.out = nn.Linear(width, width, bias=False)
        self.gain = gain

    def lower(self, view: Any) -> None:
        """Nothing of the visibility is needed."""

    def forward(self, hidden_BTC: torch.Tensor, positions: Any, seen: Any, state: Any = None) -> Any:
        count_T1 = torch.arange(1, hidden_BTC.shape[1] + 1, device=hidden_BTC.device)[:, None]
        return self.gain * self.out(hidden_BTC.cumsum(dim=1) / count_T1), state


class Skip:
    """Cross-entropy of the token `distance` places ahead."""

    def __init__(self, distance: int) -> None:
        self.distance = distance

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        tokens_BS = torch.from_numpy(sequences.tokens_BS)
        inputs_BT, targets_BT = tokens_BS[:, : -self.distance], tokens_BS[:, self.distance :]
        weights_BT = torch.ones(targets_BT.shape)
        return Batch(inputs_BT, targets_BT, weights_BT, torch.from_numpy(sequences.places_B))

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"skip": float(batch.weights_BT.sum())}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        logits_BTV = model.logits(batch.inputs_BT, visibility=Causal())
        return {"skip": F.cross_entropy(logits_BTV.flatten(0, 1).float(), batch.targets_BT.flatten(), reduction="sum")}


class Simpo:
    """−log σ(β/|y_w| · log π(y_w | x) − β/|y_l| · log π(y_l | x) − γ) for each pair (Meng et al. 2024, equation 6). A
    batch has 2·B rows: the prompts with their better answers, then with their worse ones."""

    def __init__(self, beta: float, gamma: float, sequence_length: int) -> None:
        self.beta, self.gamma, self.sequence_length = beta, gamma, sequence_length

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        rows = answered(sequences, self.sequence_length, shift=1)
        tokens_RS = torch.from_numpy(rows.tokens_RS)
        weights_RT = torch.from_numpy(rows.is_answer_RS[:, 1:]).float()
        places_R = torch.from_numpy(sequences.places_B).repeat(2)
        return Batch(tokens_RS[:, :-1], tokens_RS[:, 1:], weights_RT, places_R)

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"simpo": len(batch.weights_BT) / 2}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        hidden_RTC = model.body(batch.inputs_BT, visibility=Visibility((Causal(),))).hidden_BTC
        logp_R = log_probabilities(model.heads["language_model"], hidden_RTC, batch.targets_BT, batch.weights_BT)
        better_B, worse_B = (self.beta * logp_R / batch.weights_BT.sum(1)).chunk(2)
        return {"simpo": -F.logsigmoid(better_B - worse_B - self.gamma).sum().float()}


def counting_task(items: int) -> Any:
    from lm_eval.api.metrics import mean

    from harness.scoring.task import ListTask

    class Counting(ListTask):
        aggregations = {"accuracy": mean}

        def requests(self, doc: dict[str, Any]) -> Any:
            yield "loglikelihood", (doc["prompt"], doc["target"])
            yield "loglikelihood", (doc["prompt"], doc["wrong"])

        def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, float]:
            return {"accuracy": float(results[0][0] > results[1][0])}

    docs = [{"prompt": f"{n}, {n + 1},", "target": f" {n + 2}", "wrong": f" {n}"} for n in range(1, items + 1)]
    return Counting("counting", docs)
