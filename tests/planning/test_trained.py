"""What a token of training costs where parts are frozen: by hand, and against PyTorch's counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.composition import run_config
from harness.models.counting import Account, account
from harness.models.groups import freeze, train_only
from harness.models.meta import build_on_meta
from harness.planning.trained import training_flops
from harness.schema import RunConfig

VOCABULARY, LENGTH, WIDTH, RANK = 100, 32, 32, 2
SMALL = [
    "experiment=tiny", "tokenizer=bytes", f"data.sequence_length={LENGTH}", f"architecture.width={WIDTH}",
    "architecture.layers=2",
]  # fmt: skip
LORA = ["adapter=lora", f"adapter.rank={RANK}"]


def of(*overrides: str) -> tuple[RunConfig, Account]:
    config = run_config([*SMALL, *overrides])
    return config, account(config.architecture, VOCABULARY, LENGTH)


def flops(*overrides: str) -> float:
    config, model = of(*overrides)
    return training_flops(config, VOCABULARY, model)


def part(model: Account, name: str) -> int:
    return sum(p.flops for p in model.parts if p.part.startswith(name))


@pytest.mark.parametrize(
    "overrides",
    [
        LORA,
        [*LORA, "adapter.dropout=0.1"],
        [*LORA, "architecture/feedforward=mixture_of_experts"],
        [*LORA, "adapter.targets=[body.blocks.1.*]"],
        [*LORA, "optimizer.frozen=['*.lora_B.*']"],
        ["optimizer.frozen=['body.blocks.*']"],
        ["optimizer.frozen=['body.tokens.*','body.blocks.0.*']"],
    ],
    ids=str,
)
def test_it_is_what_pytorch_counts_of_the_model_itself(overrides: list[str]):
    config, _ = of(*overrides)
    model: Any = build_on_meta(config.architecture, VOCABULARY)
    if config.adapter:
        train_only(model, config.adapter.adapt(model))
    freeze(model, config.optimizer)
    with FlopCounterMode(display=False) as counter:
        model.logits(torch.zeros(1, LENGTH, dtype=torch.int64, device="meta")).sum().backward()
    assert flops(*overrides) * LENGTH == counter.get_total_flops()


def test_nothing_frozen_is_three_forward_passes():
    _, model = of()
    assert flops() == 3 * model.forward_flops


def test_a_frozen_matrix_costs_the_gradient_of_what_it_reads_alone():
    _, model = of()
    assert flops("optimizer.frozen=['body.tokens.*']") == 3 * model.forward_flops - part(model, "head")


def test_what_stands_before_all_that_is_trained_costs_the_forward_pass_alone():
    _, model = of()
    layer = part(model, "blocks") / 2
    expected = 3 * model.forward_flops - 2 * layer - part(model, "head")
    assert flops("optimizer.frozen=['body.tokens.*','body.blocks.0.*']") == expected


def test_an_adapter_costs_two_thirds_of_the_matrices_beside_it():
    config, model = of(*LORA)
    hidden = config.architecture.feedforward.hidden_width(WIDTH)
    matrices = 2 * 2 * (4 * WIDTH**2 + 3 * WIDTH * hidden) + part(model, "head")
    attention = model.forward_flops - matrices  # its own two products have no weights
    adapter = 2 * 2 * RANK * (4 * 2 * WIDTH + 3 * (WIDTH + hidden))
    first = 2 * 3 * WIDTH**2 + 2 * 3 * RANK * WIDTH  # queries, keys and values read what needs no gradient
    assert flops(*LORA) == 2 * matrices + 3 * attention + 3 * adapter - first
    assert flops(*LORA) < 0.85 * 3 * model.forward_flops


def test_a_method_s_forward_passes_come_besides():
    grpo = ["alignment=grpo", "corpus=python_tasks", "corpus.examples=prompts", "suite=null"]
    _, model = of(*grpo)
    assert flops(*grpo) == (3 + 2) * model.forward_flops
    assert flops(*grpo, *LORA) == flops(*LORA) + 2 * model.forward_flops
