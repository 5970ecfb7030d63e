"""int8: what is rounded and what is left, by hand; what is saved computes the same bits when it is loaded."""

import logging
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from harness.config import ConfigError, plugin_config
from harness.errors import UserError

WAYS = ("none", "dynamic")
UNTIED = {"name": "language_model", "tied": False}
VOCABULARY = 50
INPUTS_BT = torch.arange(24).view(2, 12)


def int8(activations: str = "none") -> Any:
    return plugin_config("quantizer", {"name": "int8", "activations": activations}, "quantizer")


@pytest.fixture
def build(transformer: Any) -> Any:
    def build(seed: int = 0, **values: Any) -> Any:
        torch.manual_seed(seed)
        return transformer(**values).build(VOCABULARY).eval()

    return build


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model.logits(INPUTS_BT)


def rounded_by_hand(weight_OI: torch.Tensor) -> torch.Tensor:
    """Row by row and number by number: the nearest of 256 multiples of the row's largest magnitude over 127.5."""
    rows = []
    for row in weight_OI.tolist():
        scale = max(map(abs, row)) / 127.5
        rows.append([scale * max(-128, min(127, round(number / scale))) for number in row])
    return torch.tensor(rows, dtype=torch.float64)


def test_every_linear_with_a_matrix_of_its_own_is_covered(build: Any):
    model = build(head=UNTIED)
    linears = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    coverage = int8().convert(model)
    assert coverage.quantized.keys() == coverage.squares.keys() == linears
    assert {**coverage.quantized, **coverage.left} == sizes
    assert "body.tokens.weight" in coverage.left
    assert coverage.notes == ()


def test_a_tied_head_stays_as_it_is_and_is_told(build: Any):
    model = build()
    before = model.body.tokens.weight
    coverage = int8().convert(model)
    assert model.heads["language_model"].weight is model.body.tokens.weight is before
    assert "body.tokens.weight" in coverage.left
    assert coverage.notes == ("heads.language_model is tied to body.tokens, a look-up table, and stays as it is.",)


def test_the_error_is_that_of_rounding_by_hand(build: Any):
    plain, model = build(), build()
    coverage = int8().convert(model)
    changed, squares = 0.0, 0.0
    for name in coverage.quantized:
        weight = plain.get_parameter(name).detach()
        by_hand = rounded_by_hand(weight)
        rounded = model.get_parameter(name).dequantize().double()
        assert torch.all((rounded - weight).abs() <= (by_hand - weight).abs() + 1e-7), "a tie may fall either way"
        off, of = (by_hand - weight).square().sum().item(), weight.double().square().sum().item()
        assert coverage.errors()[name] == pytest.approx((off / of) ** 0.5, rel=1e-4)
        changed, squares = changed + off, squares + of
    assert coverage.error() == pytest.approx((changed / squares) ** 0.5, rel=1e-4)
    assert 0.001 < coverage.error() < 0.01


@pytest.mark.parametrize("head", [None, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize("activations", WAYS)
def test_what_is_saved_computes_the_same_bits_when_it_is_loaded(build: Any, activations: str, head: Any):
    changes = {"head": head} if head else {}
    model, other = build(**changes), build(seed=1, **changes)
    int8(activations).convert(model)
    tensors, recipe = int8(activations).tensors(model)
    assert all(type(tensor) is torch.Tensor for tensor in tensors.values())
    int8().load(other, tensors, recipe)
    assert torch.equal(logits(other), logits(model))
    assert (other.heads["language_model"].weight is other.body.tokens.weight) == (head is None)


def test_dynamic_activations_are_rounded_too():
    """By hand, of one product: each token to 256 steps between its least and its greatest number, and zero."""
    linear = nn.Sequential(nn.Linear(16, 8, bias=False))
    inputs_TC = torch.randn(5, 16)
    int8("dynamic").convert(linear)
    weight_OC = linear[0].weight.dequantize().double()
    rows = []
    for row in inputs_TC.tolist():
        least, greatest = min(0.0, *row), max(0.0, *row)
        scale = (greatest - least) / 255
        zero = round(-128 - least / scale)
        rows.append([scale * (max(-128, min(127, round(number / scale) + zero)) - zero) for number in row])
    expected_TO = torch.tensor(rows, dtype=torch.float64) @ weight_OC.T
    assert torch.allclose(linear(inputs_TC).detach().double(), expected_TO, atol=1e-5)
    assert not torch.allclose(expected_TO, inputs_TC.double() @ weight_OC.T, atol=1e-5)


@pytest.mark.parametrize("activations", WAYS)
def test_it_computes_nearly_what_it_did(build: Any, activations: str):
    plain, model = build(), build()
    int8(activations).convert(model)
    off = (logits(model) - logits(plain)).square().mean().sqrt() / logits(plain).std()
    assert 0 < off < 0.03


def test_dequantized_it_is_a_model_of_plain_floats_with_the_rounded_weights(build: Any):
    model = build()
    int8().convert(model)
    names = [name for name, tensor in model.named_parameters() if type(tensor) is not nn.Parameter]
    rounded = {name: model.get_parameter(name).dequantize() for name in names}
    before = logits(model)
    int8().dequantize(model)
    assert names
    assert all(torch.equal(model.get_parameter(name), rounded[name]) for name in names)
    assert torch.allclose(logits(model), before, atol=1e-5)


def test_a_model_with_nothing_linear_is_told():
    for model in (nn.Sequential(nn.Embedding(4, 2)), nn.Sequential(nn.LayerNorm(4))):
        with pytest.raises(ConfigError, match="nothing to quantize"):
            int8().convert(model)


def damaged(tensors: dict, recipe: dict, how: str) -> tuple[dict, dict]:
    first = recipe["quantized"][0]
    return {
        "another layout": (tensors, {**recipe, "layout": "int8 rows 0"}),
        "no list": (tensors, {**recipe, "quantized": None}),
        "a name that the model lacks": (tensors, {**recipe, "quantized": ["body.other.weight"]}),
        "no scale": ({k: v for k, v in tensors.items() if k != f"{first}.scale"}, recipe),
        "another shape": ({**tensors, f"{first}.int8": tensors[f"{first}.int8"][:, :3]}, recipe),
        "another type": ({**tensors, f"{first}.int8": tensors[f"{first}.int8"].float()}, recipe),
        "a tensor too many": ({**tensors, "body.other": torch.zeros(1)}, recipe),
        "a tensor too few": ({k: v for k, v in tensors.items() if k != "body.norm.weight"}, recipe),
        "a matrix that is not named": (tensors, {**recipe, "quantized": recipe["quantized"][1:]}),
    }[how]


@pytest.mark.parametrize(
    ("how", "message"),
    {
        "another layout": "its layout is int8 rows 0",
        "no list": "not one of int8",
        "a name that the model lacks": "names body.other.weight, which the model lack",
        "no scale": "queries.weight, which the tensors lack",
        "another shape": "queries.weight is 32×3 of torch.int8 in the file and 32×32",
        "another type": "queries.weight is 32×32 of torch.float32 in the file",
        "a tensor too many": "hold body.other, which the model lacks",
        "a tensor too few": "lack body.norm.weight",
        "a matrix that is not named": "lack body.blocks.0.attention.queries.weight",
    }.items(),
)
def test_a_recipe_that_is_not_that_of_the_model_is_told(build: Any, how: str, message: str):
    model = build()
    int8().convert(model)
    with pytest.raises(UserError, match=message):
        int8().load(build(), *damaged(*int8().tensors(model), how))


def test_nobody_is_told_of_extensions_that_are_not_there():
    code = "import harness_plugins.quantizer.int8.int8"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert logging.root.manager.disable == 0
