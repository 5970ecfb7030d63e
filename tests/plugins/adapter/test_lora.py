"""LoRA: what the paper's formula says, on whatever Linear matrices a body has."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.config import ConfigError, plugin_config
from harness.models.groups import train_only, trained
from harness.models.meta import build_on_meta

GADGETS = Path(__file__).parents[3] / "tests/third_party/harness_gadgets/src"
VOCABULARY = 50
INPUTS_BT = torch.arange(24).reshape(2, 12)


def lora(**options: Any) -> Any:
    return plugin_config("adapter", {"name": "lora", **options}, "adapter")


def built(config: Any) -> Any:
    torch.manual_seed(0)
    return config.build(VOCABULARY).eval()


def learned(model: nn.Module, names: Any) -> None:
    """As if it had been trained: no B is zero."""
    torch.manual_seed(1)
    for name in names:
        nn.init.normal_(model.get_parameter(name), std=0.1)


@pytest.fixture
def architectures(transformer: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(GADGETS)
    from harness_gadgets import MeanAttention

    gpt2 = {
        "attention": {"name": "multi_head", "bias": True},
        "position": {"name": "learned", "length": 64},
        "feedforward": {"name": "mlp", "bias": True},
        "norm": "layernorm",
    }
    return {
        "llama": transformer(),
        "gpt2": transformer(**gpt2),
        "untied": transformer(head={"name": "language_model", "tied": False}),
        "stranger": transformer(attention=MeanAttention(name="mean")),
    }


@pytest.mark.parametrize("name", ["llama", "gpt2", "untied", "stranger"])
def test_it_changes_nothing_at_first_and_is_the_same_merged(architectures: dict[str, Any], name: str):
    model, adapter = built(architectures[name]), lora(rank=4)
    plain, before = model.logits(INPUTS_BT), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = adapter.adapt(model)
    assert torch.equal(model.logits(INPUTS_BT), plain)
    learned(model, names)
    beside = model.logits(INPUTS_BT)
    assert (beside - plain).abs().max() > 0.01
    adapter.merge(model)
    torch.testing.assert_close(model.logits(INPUTS_BT), beside, rtol=0, atol=1e-5)
    assert list(model.state_dict()) == list(before)


@pytest.mark.parametrize(("stabilised", "scale"), [(False, 6 / 4), (True, 6 / math.sqrt(4))])
def test_merged_is_the_sum_of_the_paper(transformer: Any, stabilised: bool, scale: float):
    model, adapter = built(transformer()), lora(rank=4, alpha=6, rank_stabilised=stabilised)
    where = "body.blocks.1.feedforward.down"
    base = model.get_parameter(f"{where}.weight").detach().clone()
    learned(model, adapter.adapt(model))
    a, b = (model.get_parameter(f"{where}.lora_{x}.default.weight").detach().double() for x in "AB")
    assert (a.shape[0], b.shape[1]) == (4, 4)
    adapter.merge(model)
    torch.testing.assert_close(model.get_parameter(f"{where}.weight").double(), base + scale * b @ a, rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"rank": 3, "targets": ["body.blocks.*.attention.queries"]}])
@pytest.mark.parametrize("name", ["llama", "gpt2", "stranger"])
def test_what_is_counted_on_the_meta_device_is_what_is_added(
    architectures: dict[str, Any], name: str, options: dict[str, Any]
):
    if name == "stranger" and options:
        options = {**options, "targets": ["*.out"]}
    config, adapter = architectures[name], lora(**options)
    model, meta = built(config), build_on_meta(config, VOCABULARY)
    before = sum(parameter.numel() for parameter in model.parameters())
    names = adapter.adapt(model)
    added = sum(parameter.numel() for parameter in model.parameters()) - before
    assert adapter.counts(meta).parameters == added == sum(model.get_parameter(name).numel() for name in names)
    assert adapter.adapt(meta) == names, "on the meta device, too"


def test_all_matrices_of_the_layers_are_adapted_or_those_that_are_named(transformer: Any):
    def modules(*targets: str) -> set[str]:
        names = lora(targets=list(targets)).adapt(built(transformer()))
        return {name.partition(".lora_")[0].removeprefix("body.blocks.") for name in names}

    parts = {
        *(f"attention.{m}" for m in ("queries", "keys", "values", "out")),
        *(f"feedforward.{m}" for m in ("gate", "up", "down")),
    }
    assert modules() == {f"{layer}.{part}" for layer in (0, 1) for part in parts}
    assert modules("*.queries", "body.blocks.0.attention.v*") == {
        "0.attention.queries",
        "1.attention.queries",
        "0.attention.values",
    }
    assert modules("body.blocks.1.attention.out.weight") == {"1.attention.out"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets": ["body.blocks.*.query"]}, "no Linear matrix of the body is named .*query.*Did you mean"),
        ({"targets": ["body.tokens"]}, "no Linear matrix of the body is named body.tokens"),
        ({"targets": ["heads.*"]}, r"no Linear matrix of the body is named heads\.\*"),
    ],
)
def test_a_target_that_is_none_is_told(transformer: Any, options: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=f"adapter.targets: {said}"):
        lora(**options).counts(build_on_meta(transformer(), VOCABULARY))


@pytest.mark.parametrize("options", [{"rank": 0}, {"dropout": 1.0}, {"alpha": -1}, {"targets": "queries"}])
def test_options_out_of_bounds_are_refused(options: dict[str, Any]):
    with pytest.raises(ConfigError, match=f"adapter.{next(iter(options))}="):
        lora(**options)


def test_what_an_optimizer_is_given_are_matrices(transformer: Any):
    model = built(transformer())
    train_only(model, lora().adapt(model))
    given = trained(model, plugin_config("optimizer", "adamw", "optimizer"))
    assert {one.role for one in given} == {"matrix"}
    assert all(".lora_" in one.name for one in given)


def test_counting_imports_no_peft():
    """It brings transformers along, which takes seconds."""
    program = (
        "import sys\n"
        "from harness.composition import run_config\n"
        "from harness.models.counting import account\n"
        "from harness.planning.trained import trained_parameters, training_flops\n"
        "config = run_config(['experiment=tiny', 'tokenizer=bytes', 'adapter=lora'])\n"
        "model = account(config.architecture, 300, 32)\n"
        "assert trained_parameters(config, 300, model.total) < model.total\n"
        "assert training_flops(config, 300, model) < model.training_flops\n"
        "assert 'torch' in sys.modules and 'peft' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
