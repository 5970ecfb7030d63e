"""Blocks computed again in the backward pass, and compiled: the same loss, the same gradients, the same names."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.testing import CompileCounter

from harness.interfaces.visibility import Causal, SameDocument
from harness.models.blocks import blocks, compile_blocks, recompute
from harness.models.model import Model

INPUTS_BT = torch.randint(50, (4, 16), generator=torch.Generator().manual_seed(0))

VARIANTS = {
    "llama": {},
    "dropout": {"residual_dropout": 0.3, "attention": {"name": "multi_head", "dropout": 0.2}},
    "gpt2": {"position": {"name": "learned", "length": 16}, "feedforward": "mlp", "norm": "layernorm"},
    "grouped": {"attention": {"name": "multi_head", "key_value_heads": 2}},
    "pattern": {"blocks": {"near": {"attention": {"window": 3}}, "far": {}}, "pattern": ["near", "far"], "layers": 4},
}


def build(config, mode="none", compiled=False):
    torch.manual_seed(0)
    model = config.build(50)
    recompute(model, mode)
    if compiled:
        compile_blocks(model)
    return model


def step(model, visibility=None, precision=None):
    """Loss and gradients."""
    torch.manual_seed(1)
    model.zero_grad()
    with torch.autocast("cpu", precision, enabled=precision is not None):
        logits_BTV = model.logits(INPUTS_BT, visibility=visibility or Causal())
    loss = F.cross_entropy(logits_BTV.float().flatten(0, 1), INPUTS_BT.flatten())
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.fixture
def graphs(monkeypatch):
    """Compilation without its slow half: counts the graphs that would be compiled, and computes them as written."""
    torch._dynamo.reset()
    counter = CompileCounter()
    plain = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, options, **how: plain(f, backend=counter, fullgraph=True, **how))
    yield counter
    torch._dynamo.reset()


@pytest.mark.parametrize("mode", ["blocks", "selective"])
@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_what_is_computed_again_is_the_same_bit_for_bit(transformer, values, mode):
    config = transformer(**values)
    (loss, gradients), (again, gradients_again) = step(build(config)), step(build(config, mode))
    assert torch.equal(loss, again)
    assert gradients.keys() == gradients_again.keys()
    assert all(torch.equal(gradients[name], gradients_again[name]) for name in gradients)


@pytest.mark.parametrize("mode", ["none", "blocks", "selective"])
def test_an_auxiliary_loss_counts_once_for_each_block(transformer, mode):
    model = transformer(layers=3).build(50)
    for block in blocks(model):
        plain = block.feedforward.forward
        block.feedforward.forward = lambda x, plain=plain: (plain(x)[0], {"balance": (x.square().sum(), 2.0)})
    expected = torch.autograd.grad(
        model.body(INPUTS_BT, visibility=Causal()).auxiliary["balance"][0], model.body.embedding_VC
    )
    recompute(model, mode)
    value, count = model.body(INPUTS_BT, visibility=Causal()).auxiliary["balance"]
    assert count == 2.0
    found = torch.autograd.grad(value, model.body.embedding_VC)
    assert torch.equal(found[0], expected[0])


@pytest.mark.parametrize(("name", "expected"), [("llama", 1), ("dropout", 1), ("grouped", 1), ("pattern", 2)])
@pytest.mark.parametrize("mode", ["none", "blocks", "selective"])
def test_one_graph_serves_all_blocks_of_a_kind_and_all_steps(transformer, graphs, name, expected, mode):
    model = build(transformer(**VARIANTS[name]), mode, compiled=True)
    step(model)
    step(model)
    assert graphs.frame_count == expected


def test_other_documents_make_no_other_graph(transformer, graphs):
    model = build(transformer(), compiled=True)
    for length in (3, 4, 5):
        step(model, Causal() & SameDocument(torch.arange(16).expand(4, 16) // length))
    assert graphs.frame_count == 1


def test_names_stay(transformer):
    model, changed = build(transformer()), build(transformer(), "selective", compiled=True)
    assert list(model.state_dict()) == list(changed.state_dict())


def test_a_body_without_layers_has_no_blocks():
    assert blocks(Model(nn.Linear(2, 2), {})) == []


@pytest.mark.slow
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("mode", ["none", "blocks", "selective"])
@pytest.mark.parametrize("name", ["dropout", "pattern"])
def test_compiled_and_eager_agree(transformer, name, mode, precision):
    """Also where numbers are dropped, and in bfloat16, whose roundings a fused kernel leaves out."""
    torch._dynamo.reset()
    config, tolerance = transformer(**VARIANTS[name]), 1e-5 if precision is None else 0.05
    loss, gradients = step(build(config), precision=precision)
    found, found_gradients = step(build(config, mode, compiled=True), precision=precision)
    assert float(found) == pytest.approx(float(loss), rel=tolerance / 10)
    for parameter, gradient in gradients.items():
        difference = (found_gradients[parameter] - gradient).norm() / gradient.norm()
        assert difference < tolerance, parameter
    torch._dynamo.reset()
