"""Routers leave padding out: what they learn and count does not depend on how a batch is cut into micro-batches."""

from typing import Any

import numpy as np
import pytest
import torch

from harness.config import plugin_config
from harness.interfaces.architecture import DECODER, ENCODER_DECODER
from harness.interfaces.batch import ANSWER, CONTEXT, PADDING, Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Causal, Prefix
from harness.models.blocks import recompute
from harness.models.load import Load, routers
from harness.registry import registry

ROWS, LENGTH, VOCABULARY = 4, 120, 300
EXPERTS = {
    "name": "mixture_of_experts", "expert": {"name": "gated", "hidden": 8}, "experts": 4, "balance_loss": 0.5,
    "z_loss": 0.1,
}  # fmt: skip
CASES = [(name, DECODER) for name in ("dpo", "reward_model", "span", "prefix")]


def sequences() -> Sequences:
    """Preferences of very different lengths. To objectives of text they are rows of equal length."""
    rng = np.random.default_rng(0)
    parts_BS = np.full((ROWS, LENGTH), PADDING, np.uint8)
    for parts_S, prompt, answers in zip(parts_BS, (5, 40, 3, 20), ((4, 9), (30, 2), (2, 3), (8, 40)), strict=True):
        parts_S[:prompt] = CONTEXT
        parts_S[prompt : prompt + sum(answers)] = np.repeat((ANSWER, ANSWER + 1), answers)
    documents_BS = np.zeros((ROWS, LENGTH), np.int64)
    tokens_BS = rng.integers(250, size=(ROWS, LENGTH))
    return Sequences(tokens_BS, documents_BS, np.arange(ROWS), parts_BS, np.arange(ROWS), np.zeros(ROWS, np.int64))


def build(name: str, topology: str) -> Any:
    """A method whose rows are padded."""
    config = plugin_config("method", {"name": name}, "method")
    tokenizer = registry().get("tokenizer", "bytes")().train([])
    return config.build(
        Setting(
            tokenizer=tokenizer,
            sequence_length=LENGTH,
            topology=topology,
            extra={token: 257 + number for number, token in enumerate(config.extra_tokens())},
            log_probabilities=lambda role: lambda sources_B, numbers_B: np.zeros((len(sources_B), 2)),
        )
    )


def batch_of(method: Any, rows: Sequences) -> Any:
    return method.prepare(rows, lambda place: np.random.default_rng([3, place]))


def model_of(name: str, topology: str, recomputed: str = "none") -> Any:
    torch.manual_seed(0)
    architecture = {
        "name": "transformer" if topology == DECODER else "encoder_decoder",
        "width": 16, "layers": 2, "init_std": 0.4, "feedforward": EXPERTS,
        "head": "reward" if name == "reward_model" else "language_model",
    }  # fmt: skip
    model = plugin_config("architecture", architecture, "architecture").build(VOCABULARY)
    recompute(model, recomputed)
    return model


class Step:
    """Gradients of the auxiliary losses, and the load, over micro-batches."""

    def __init__(self, model: Any) -> None:
        model.zero_grad(set_to_none=True)
        self.model, self.load = model, Load(routers(model))

    def add(self, losses: dict[str, Any], share: float) -> None:
        (share * (losses["balance"] + losses["router_z"])).backward()

    def found(self) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        gradients = {name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None}
        return gradients, torch.stack(list(self.load.counts.values()))


def learnt(model: Any, method: Any, batches: list[Any]) -> Any:
    """A step as the loop takes it: each micro-batch counts by its rows."""
    step, rows = Step(model), sum(len(batch.places_B) for batch in batches)
    for batch in batches:
        with step.load:
            losses = method.losses(model, batch)
        step.add(losses, len(batch.places_B) / rows)
    return step.found()


def learnt_alone(model: Any, batch: Any) -> Any:
    """A step of a decoder that is given each row by itself, cut behind its last target."""
    step, rows = Step(model), len(batch.places_B)
    for row in range(rows):
        end = int(batch.weights_BT[row].nonzero().max()) + 1
        sees = Prefix(batch.extra["prefix_B"][row : row + 1]) if "prefix_B" in batch.extra else Causal()
        with step.load:
            output = model.body(batch.inputs_BT[row : row + 1, :end], visibility=sees)
        step.add({name: total / count for name, (total, count) in output.auxiliary.items()}, 1 / rows)
    return step.found()


def agree(found: Any, expected: Any) -> None:
    for name, gradient in expected[0].items():
        torch.testing.assert_close(found[0][name], gradient, rtol=1e-3, atol=1e-5)
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize(("name", "topology"), [*CASES, ("span", ENCODER_DECODER), ("prefix", ENCODER_DECODER)])
def test_micro_batches_learn_what_the_whole_batch_does(name: str, topology: str) -> None:
    method, model = build(name, topology), model_of(name, topology)
    whole = learnt(model, method, [batch_of(method, sequences())])
    for size in (1, 2):
        cut = [batch_of(method, sequences().rows(slice(at, at + size))) for at in range(0, ROWS, size)]
        agree(learnt(model, method, cut), whole)


@pytest.mark.parametrize("recomputed", ["none", "blocks"])
@pytest.mark.parametrize(("name", "topology"), CASES)
def test_padding_is_as_if_it_were_not_there(name: str, topology: str, recomputed: str) -> None:
    """Also to blocks that are computed again in the backward pass."""
    method, model = build(name, topology), model_of(name, topology, recomputed)
    batch = batch_of(method, sequences())
    assert batch.weights_BT[:, -1].sum() < len(batch.places_B), "some rows are padded"
    agree(learnt(model, method, [batch]), learnt_alone(model, batch))
