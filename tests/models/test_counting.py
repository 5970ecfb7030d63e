"""Closed forms against the model itself: its tensors, and PyTorch's own counter on the meta device."""

from dataclasses import dataclass

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.models.counting import account, inference_memory
from harness.models.meta import build_on_meta, count_on_meta, simplest, training_flops_on_meta

VARIANTS = {
    "llama": {},
    "grouped queries": {"attention": {"name": "multi_head", "heads": 4, "key_value_heads": 2}},
    "multi-query": {"attention": {"name": "multi_head", "heads": 4, "key_value_heads": 1}},
    "heads of their own width": {"attention": {"name": "multi_head", "heads": 3, "channels": 10, "bias": True}},
    "biased": {
        "attention": {"name": "multi_head", "bias": True},
        "feedforward": {"name": "gated", "bias": True},
        "norm": "layernorm",
    },
    "gpt2": {
        "attention": {"name": "multi_head", "bias": True},
        "position": {"name": "learned", "length": 50},
        "feedforward": {"name": "mlp", "bias": True},
        "norm": {"name": "layernorm", "bias": False},
    },
    "post": {"placement": "post", "feedforward": "mlp"},
    "untied": {"head": {"name": "language_model", "tied": False}},
    "blocks": {
        "layers": 5,
        "blocks": {"thin": {"feedforward": {"hidden": 24}}, "plain": {"feedforward": "mlp", "norm": "layernorm"}},
        "pattern": ["thin", "plain"],
    },
}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_closed_forms_equal_the_model(transformer, values):
    config, vocabulary, length = transformer(**values), 100, 24
    counted = account(config, vocabulary, length)
    model = build_on_meta(config, vocabulary)
    tables = [m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    with FlopCounterMode(display=False) as counter:
        model.logits(torch.zeros(1, length, dtype=torch.int64, device="meta"))

    assert counted.total == sum(p.numel() for p in model.parameters())
    assert counted.non_embedding == counted.total - sum(table.numel() for table in tables)
    assert counted.forward_flops * length == counter.get_total_flops()


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_meta_device_gives_the_same_totals(transformer, values):
    config = transformer(**values)
    closed, counted = config.counts(100, 24), count_on_meta(config, 100, 24)
    for total in ("parameters", "flops", "active"):
        assert sum(getattr(p, total) for p in closed) == sum(getattr(p, total) for p in counted)
    assert sum(p.parameters for p in closed if p.embedding) == sum(p.parameters for p in counted if p.embedding)


def test_a_part_without_closed_forms_is_counted_on_the_meta_device(transformer):
    config = transformer()
    expected = account(config, 100, 24)

    @dataclass(kw_only=True)
    class Stranger(type(config.feedforward)):
        def parameters(self, width):
            raise NotImplementedError

    config.feedforward = Stranger(name="stranger")
    counted = account(config, 100, 24)
    assert (counted.total, counted.forward_flops) == (expected.total, expected.forward_flops)


def test_training_costs_three_forward_passes(transformer):
    config = transformer()
    counted = account(config, 100, 24)
    model = build_on_meta(config, 100)
    with FlopCounterMode(display=False) as counter:
        # the first embedding needs no gradient of its input, everything else has two products backward
        model.logits(torch.zeros(1, 24, dtype=torch.int64, device="meta")).sum().backward()
    assert counted.training_flops * 24 == counter.get_total_flops()


def test_six_n_says_which_n(transformer):
    counted = account(transformer(), 100, 24)
    assert counted.six_n() == 6 * counted.total
    assert counted.six_n(counted.non_embedding) == 6 * counted.non_embedding


def test_memory_of_the_cache_is_what_the_cache_takes(transformer):
    config = transformer(attention={"name": "multi_head", "heads": 4, "key_value_heads": 2})
    model, places = config.build(100), 10
    state = model.body.start(1, places)
    with torch.no_grad():
        model.logits(torch.zeros(1, places, dtype=torch.int64), state=state)
    kept = sum(t.numel() * 4 for layer in state.layers for t in vars(layer).values() if isinstance(t, torch.Tensor))
    assert inference_memory(config, 100, "fp32").cache_per_token * places == kept


def test_frozen_weights_are_counted_also_where_nothing_is_causal(transformer):
    """A model that cannot be causal is counted as it can: what is frozen has no product of its own backward."""
    config = transformer(attention={"name": "low_rank", "length": 24, "rank": 4})
    model = build_on_meta(config, 100)
    whole = training_flops_on_meta(model, 24, visibility=simplest(config))
    assert whole == account(config, 100, 24).training_flops
    model.requires_grad_(False)
    model.heads["language_model"].weight.requires_grad_(True)
    assert account(config, 100, 24).forward_flops < training_flops_on_meta(model, 24, None, simplest(config)) < whole
