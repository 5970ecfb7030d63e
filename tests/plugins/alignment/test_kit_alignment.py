"""Every alignment keeps what its kind promises."""

import math
from dataclasses import dataclass

import torch

from harness.config import plugin_config
from harness.interfaces.reward import RewardConfig
from harness.interfaces.visibility import Causal
from harness.testing import AlignmentKit
from harness.testing.alignment import answer, reference_of


def log_probability(model, before, own):
    """One token at a time."""
    total = 0.0
    for place, token in enumerate(own):
        logits_V = model.logits(torch.tensor([[*before, *own[:place]]]), visibility=Causal())[0, -1]
        total += float(logits_V.double().log_softmax(0)[token])
    return total


def margin_loss(margins):
    return sum(math.log1p(math.exp(-margin)) for margin in margins) / len(margins)


class TestDpo(AlignmentKit):
    config = plugin_config("alignment", "dpo", "alignment")

    def reference(self, method, model, rows, batch):
        margins = []
        for pair, (better, worse) in enumerate(reference_of(rows.sources_B, rows.numbers_B)):
            gained = [log_probability(model, *answer(rows, pair, number)) for number in (0, 1)]
            margins.append(self.config.beta * ((gained[0] - better) - (gained[1] - worse)))
        return {"dpo": margin_loss(margins), "preference_margin": sum(margins) / len(margins)}


class TestRewardModel(AlignmentKit):
    config = plugin_config("alignment", "reward_model", "alignment")

    def reference(self, method, model, rows, batch):
        margins = []
        for pair in range(len(rows.places_B)):
            texts = [torch.tensor([[*before, *own]]) for before, own in (answer(rows, pair, n) for n in (0, 1))]
            better, worse = (float(model.logits(text, visibility=Causal(), head="reward")[0, -1]) for text in texts)
            margins.append(better - worse)
        accuracy = sum(margin > 0 for margin in margins) / len(margins)
        return {"reward_model": margin_loss(margins), "preference_accuracy": accuracy}


@dataclass(kw_only=True)
class Digits(RewardConfig):
    """How many digits there are."""

    def build(self, tokenizer):
        return lambda prompt, completion, fields: float(sum(letter.isdigit() for letter in completion))


class TestGrpo(AlignmentKit):
    config = plugin_config(
        "alignment",
        {"name": "grpo", "reward": Digits(name="digits"), "group": 4, "max_new_tokens": 6, "beta": 0.0},
        "alignment",
    )

    def judged(self, rows, batch):
        """What was rewarded more than its group's mean is to be likelier."""
        found = []
        rewards_PG = batch.extra["rewards_B"].view(-1, 4)
        above_B = (rewards_PG - rewards_PG.mean(1, keepdim=True)).flatten()
        for row in torch.nonzero(above_B).flatten().tolist():
            places = torch.nonzero(batch.weights_BT[row]).flatten()
            found.append((row, int(places[0]) + 1, batch.targets_BT[row, places].tolist(), bool(above_B[row] > 0)))
        assert found, "some groups differ"
        return found


class TestGrpoWithAReference(AlignmentKit):
    config = plugin_config(
        "alignment",
        {"name": "grpo", "reward": Digits(name="digits"), "group": 4, "max_new_tokens": 6},
        "alignment",
    )
    test_better_answers_are_made_likelier_and_worse_ones_less_likely = None  # the reference pulls, too

    judged = TestGrpo.judged

    def reference(self, method, model, rows, batch):
        """The estimate of each token's divergence, whose mean is told."""
        estimates = []
        for row in range(len(batch.inputs_BT)):
            places = torch.nonzero(batch.weights_BT[row]).flatten().tolist()
            for place in places:
                before, token = batch.inputs_BT[row, : place + 1].tolist(), int(batch.targets_BT[row, place])
                apart = log_probability(method.reference, before, [token]) - log_probability(model, before, [token])
                estimates.append(math.exp(apart) - apart - 1)
        return {"kl": sum(estimates) / len(estimates)}
