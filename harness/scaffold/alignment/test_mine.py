"""It keeps what its kind promises: sums that add up, and the loss that its paper says."""

import math

import numpy as np
import pytest
import torch

from harness.interfaces.batch import ANSWER, CONTEXT, PADDING, Sequences
from harness.interfaces.visibility import Causal
from harness.models.model import Model
from harness.scaffold.alignment import MineConfig
from harness.testing.models import stirred
from harness.testing.objective import Letters, adds_up_wrongly, draws_by_chance, keyed, setting
from harness.testing.parts import in_transformer

CONFIG = MineConfig(name="mine")
METHOD = CONFIG.build(setting(CONFIG, Letters()))
#: Of each pair: tokens of the prompt, of the better answer and of the worse one.
LENGTHS = ((3, 2, 4), (5, 1, 1), (2, 6, 3), (4, 3, 3))


def model() -> Model:
    return stirred(in_transformer(position="none"), vocabulary=Letters.size)


def pairs() -> Sequences:
    parts_BS = np.full((len(LENGTHS), 12), PADDING, dtype=np.uint8)
    for row, lengths in enumerate(LENGTHS):
        parts_BS[row, : sum(lengths)] = np.repeat([CONTEXT, ANSWER, ANSWER + 1], lengths)
    tokens_BS = np.random.default_rng(0).integers(1, Letters.end, parts_BS.shape)
    tokens_BS[parts_BS == PADDING] = 0
    return Sequences(tokens_BS, np.zeros_like(tokens_BS), np.arange(len(LENGTHS)), parts_BS)


def test_nothing_is_drawn_by_chance() -> None:
    assert draws_by_chance(METHOD, pairs()) is None


def test_micro_batches_add_up() -> None:
    assert adds_up_wrongly(METHOD, model(), pairs()) is None


def test_the_loss_is_what_its_paper_says() -> None:
    asked, policy, expected = pairs(), model(), 0.0
    for row, (prompt, better, worse) in enumerate(LENGTHS):
        tokens = asked.tokens_BS[row].tolist()
        first, second = tokens[prompt : prompt + better], tokens[prompt + better : prompt + better + worse]
        means = [mean_log_probability(policy, tokens[:prompt], answer) for answer in (first, second)]
        expected -= math.log(1 / (1 + math.exp(CONFIG.gamma - CONFIG.beta * (means[0] - means[1]))))
    found = METHOD.losses(policy, METHOD.prepare(asked, keyed))["mine"]
    assert found.item() == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def mean_log_probability(policy: Model, prompt: list[int], answer: list[int]) -> float:
    """Of a token of the answer, in nats: one at a time."""
    total = 0.0
    for place, token in enumerate(answer):
        logits_V = policy.logits(torch.tensor([[*prompt, *answer[:place]]]), visibility=Causal())[0, -1]
        total += float(logits_V.double().log_softmax(-1)[token])
    return total / len(answer)
