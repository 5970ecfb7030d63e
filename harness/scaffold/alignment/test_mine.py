"""It keeps what its kind promises, and its loss is what its paper says."""

import math
from collections.abc import Mapping

import torch

from harness.interfaces.batch import Batch, Sequences
from harness.interfaces.method import Method
from harness.interfaces.visibility import Causal
from harness.models.model import Model
from harness.scaffold.alignment import MineConfig
from harness.testing import AlignmentKit
from harness.testing.alignment import answer


class TestMine(AlignmentKit):
    config = MineConfig(name="mine")

    def reference(self, method: Method, model: Model, rows: Sequences, batch: Batch) -> Mapping[str, float]:
        losses = []
        for pair in range(len(rows.places_B)):
            better, worse = (mean_log_probability(model, *answer(rows, pair, number)) for number in (0, 1))
            losses.append(math.log1p(math.exp(self.config.gamma - self.config.beta * (better - worse))))
        return {"mine": sum(losses) / len(losses)}


def mean_log_probability(policy: Model, prompt: list[int], own: list[int]) -> float:
    """Of a token of the answer, in nats: one at a time."""
    total = 0.0
    for place, token in enumerate(own):
        logits_V = policy.logits(torch.tensor([[*prompt, *own[:place]]]), visibility=Causal())[0, -1]
        total += float(logits_V.double().log_softmax(-1)[token])
    return total / len(own)
