"""qat_int8: a prepared model computes what it will compute in int8, and is trained as it was before."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from harness.config import ConfigError, plugin_config
from harness.models.roles import roles

VOCABULARY = 50
INPUTS_BT = torch.arange(24).view(2, 12)
WAYS = ("none", "dynamic")


def qat(activations: str) -> Any:
    return plugin_config("quantizer", {"name": "qat_int8", "activations": activations}, "quantizer")


@pytest.fixture
def build(transformer: Any) -> Any:
    def build() -> Any:
        torch.manual_seed(0)
        return transformer(head={"name": "language_model", "tied": False}).build(VOCABULARY).eval()

    return build


@pytest.mark.parametrize("activations", WAYS)
def test_a_prepared_model_computes_what_the_converted_one_will(build: Any, activations: str):
    plain, prepared, converted = build(), build(), build()
    qat(activations).prepare(prepared)
    qat(activations).convert(converted)
    with torch.no_grad():
        before, trained, after = (model.logits(INPUTS_BT) for model in (plain, prepared, converted))
    assert torch.allclose(trained, after, atol=1e-4 * float(after.std()))
    assert (before - after).abs().max() > 100 * (trained - after).abs().max()


@pytest.mark.parametrize("activations", WAYS)
def test_names_roles_and_floats_stay(build: Any, activations: str):
    plain, prepared = build(), build()
    qat(activations).prepare(prepared)
    assert roles(prepared) == roles(plain)
    ours, theirs = prepared.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_gradients_pass_through_the_rounding():
    """Those of a product with the rounded matrix, as if rounding were not there; none where it is clamped, which the
    largest number of a row may be."""
    torch.manual_seed(0)
    model, inputs_TC = nn.Sequential(nn.Linear(16, 8, bias=False)), torch.randn(5, 16)
    converted = copy.deepcopy(model)
    qat("none").prepare(model)
    qat("none").convert(converted)
    model(inputs_TC).square().sum().backward()
    weight_OC, rounded_OC = model[0].weight.detach(), converted[0].weight.dequantize()
    expected_OC = 2 * (inputs_TC @ rounded_OC.T).T @ inputs_TC
    inside_OC = weight_OC.abs() < weight_OC.abs().amax(dim=1, keepdim=True)
    assert torch.allclose(model[0].weight.grad[inside_OC], expected_OC[inside_OC], atol=1e-5)
    assert not torch.equal(weight_OC, rounded_OC)


def test_a_prepared_model_converts_to_the_same_bits(build: Any):
    prepared, plain = build(), build()
    qat("none").prepare(prepared)
    for model in (prepared, plain):
        qat("none").convert(model)
    with torch.no_grad():
        assert torch.equal(prepared.logits(INPUTS_BT), plain.logits(INPUTS_BT))


def test_a_model_with_nothing_linear_is_told():
    with pytest.raises(ConfigError, match="nothing to quantize"):
        qat("none").prepare(nn.Sequential(nn.Embedding(4, 2)))
