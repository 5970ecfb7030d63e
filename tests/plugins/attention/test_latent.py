"""Multi-head latent attention against its equations, head by head and place by place, in float64."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.config import ConfigError, plugin_config
from harness.interfaces.visibility import Causal, Full, NotBefore, Prefix, SameDocument, Window
from harness.models.counting import account
from harness.models.memory import Step
from harness.models.meta import build_on_meta
from harness.models.position import Position
from harness.models.roles import roles
from harness.models.visibility import View
from harness.testing import AttentionKit

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))

import memory as bench

WIDTH, LENGTH, VOCABULARY = 12, 7, 50

VARIANTS = {
    "plain": {},
    "queries of a latent": {"query_latent": 5},
    "narrow values": {"channels": 6, "turned_channels": 4, "value_channels": 5, "heads": 2},
    "wide values": {"channels": 3, "turned_channels": 2, "value_channels": 11, "query_latent": 7, "latent": 6},
    "a window and a scale": {"window": 3, "scale": 0.7},
    "another norm": {"latent_norm": {"name": "layernorm", "epsilon": 0.1}},
}
every = pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())


def config(**values):
    given = {"name": "latent", "latent": 9, "turned_channels": 4, **values}
    return plugin_config("attention", given, "attention")


def build(values, width=WIDTH, position=None):
    """In float64, every parameter random."""
    torch.manual_seed(0)
    module = config(**values).build(width, position or Position()).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return module.eval()


def rotary(turned):
    return plugin_config("position", {"name": "rotary", "base": 30.0, "interleaved": True}, "position").build(
        WIDTH, 4, turned
    )


def turned_by_hand(vector, place, base=30.0):
    """RoFormer, equation 34: each pair of neighbours, turned as a complex number."""
    out = []
    for pair in range(0, len(vector), 2):
        angle = place * base ** (-pair / len(vector))
        z = complex(vector[pair], vector[pair + 1]) * complex(math.cos(angle), math.sin(angle))
        out += [z.real, z.imag]
    return torch.tensor(out, dtype=torch.float64)


def by_hand(module, of, hidden_TC):
    """DeepSeek-V2, equations 37–47, one query of one head at a time."""
    still, turned, valued = of.still(WIDTH), of.turned_channels, of.valued(WIDTH)
    down = [module.key_value_down.weight @ x for x in hidden_TC]
    latents = [module.key_value_norm(x[: of.latent]) for x in down]
    shared = [turned_by_hand(x[of.latent :], place) for place, x in enumerate(down)]
    of_head = module.key_value_up.weight.view(of.heads, still + valued, of.latent)
    to_queries = module.queries.weight.view(of.heads, still + turned, -1)
    rows = []
    for i, x in enumerate(hidden_TC):
        asks = x if of.query_latent is None else module.query_norm(module.query_down.weight @ x)
        mixed = []
        for head in range(of.heads):
            query = to_queries[head] @ asks
            query = torch.cat((query[:still], turned_by_hand(query[still:], i)))
            first = 0 if of.window is None else max(0, i - of.window + 1)
            keys = [torch.cat((of_head[head, :still] @ latents[j], shared[j])) for j in range(first, i + 1)]
            scale = of.scale or 1 / math.sqrt(still + turned)
            weights = torch.softmax(torch.stack([scale * query @ key for key in keys]), dim=0)
            values = [of_head[head, still:] @ latents[j] for j in range(first, i + 1)]
            mixed.append(sum(weight * value for weight, value in zip(weights, values, strict=True)))
        rows.append(module.out.weight @ torch.cat(mixed))
    return torch.stack(rows)


@torch.no_grad()
@every
def test_it_is_its_equations(values):
    of = config(**values)
    position = rotary(of.turned_channels)
    module, hidden_TC = build(values, position=position), torch.randn(LENGTH, WIDTH, dtype=torch.float64)
    seen = module.lower(View(Causal() & Full(), LENGTH, 0, hidden_TC.device))
    found, _ = module(hidden_TC[None], position.prepare(torch.arange(LENGTH)), seen)
    torch.testing.assert_close(found[0], by_hand(module, of, hidden_TC), rtol=1e-6, atol=1e-6)  # angles are float32


@every
def test_closed_forms_equal_the_model(transformer, values):
    options = transformer(attention={"name": "latent", **values})
    counted, model = account(options, VOCABULARY, 24), build_on_meta(options, VOCABULARY)
    with FlopCounterMode(display=False) as counter:
        model.logits(torch.zeros(1, 24, dtype=torch.int64, device="meta"))
    assert counted.total == sum(p.numel() for p in model.parameters())
    assert counted.forward_flops * 24 == counter.get_total_flops()
    assert set(roles(model).values()) <= {"matrix", "embedding", "gain", "bias"}


@pytest.mark.parametrize("values", [VARIANTS["queries of a latent"], VARIANTS["wide values"]])
@pytest.mark.parametrize(("precision", "recomputed"), [("fp32", "none"), ("bf16", "selective"), ("fp32", "blocks")])
def test_the_promised_memory_is_that_of_the_tensors(values, precision, recomputed):
    attention = {"name": "latent", "latent": 64, "turned_channels": 16, **values}
    options = {**bench.LLAMA, "attention": attention, "width": 64, "layers": 3}
    promised, measured = bench.compare(options, 512, Step(128, 4, 1, precision, recomputed))
    assert abs(promised / measured - 1) <= bench.BOUND


def in_a_transformer(transformer, **values):
    torch.manual_seed(0)
    attention = {"name": "latent", "latent": 9, "turned_channels": 4, **values}
    return transformer(attention=attention, init_std=0.5).build(VOCABULARY).eval()


def tokens(rows, length=12):
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(0))


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("visibility", [Causal(), Causal() & Window(3), Prefix(torch.tensor([5, 3]))])
@every
def test_cached_decoding_is_full_decoding(transformer, visibility, values):
    model = in_a_transformer(transformer, **values)
    inputs, state = tokens(2), model.body.start(2, 12)
    pieces = inputs.split((5, 1, 4, 1, 1), dim=1)
    cached = [model.logits(piece, visibility=visibility, state=state) for piece in pieces]
    same(torch.cat(cached, dim=1), model.logits(inputs, visibility=visibility))


@torch.no_grad()
def test_the_state_is_one_latent_and_one_key_for_each_place(transformer):
    """However many heads there are: what `cache_bytes` promises."""
    for heads in (2, 8):
        model = in_a_transformer(transformer, heads=heads)
        state = model.body.start(1, 6)
        model.logits(tokens(1, 6), state=state)
        held = sum(cache._kept_BTL.nbytes for cache in state.layers)
        assert held == 6 * model.body.config.cache_bytes(4) == 6 * 2 * 4 * (9 + 4)


@torch.no_grad()
def test_packed_documents_are_documents_alone_and_padding_changes_nothing(transformer):
    model = in_a_transformer(transformer)
    first, second = tokens(1, 5), tokens(1, 8).flip(1)
    documents_BT, positions_BT = torch.tensor([[0] * 5 + [1] * 8]), torch.tensor([[*range(5), *range(8)]])
    together = model.logits(
        torch.cat((first, second), dim=1), visibility=Causal() & SameDocument(documents_BT), positions_BT=positions_BT
    )
    same(together, torch.cat([model.logits(each) for each in (first, second)], dim=1))
    padded = torch.cat((torch.zeros(1, 3, dtype=torch.long), first), dim=1)
    positions_BT = (torch.arange(8) - 3).clamp(min=0)[None]
    found = model.logits(padded, visibility=Causal() & NotBefore(torch.tensor([3])), positions_BT=positions_BT)
    assert found.isfinite().all()
    same(found[:, 3:], model.logits(first))


def test_dropout_is_of_training_alone():
    module = build({"dropout": 0.5})
    hidden_BTC = torch.randn(1, LENGTH, WIDTH, dtype=torch.float64)
    seen = module.lower(View(Causal() & Full(), LENGTH, 0, hidden_BTC.device))
    one, other = (module.train()(hidden_BTC, None, seen)[0] for _ in range(2))
    assert not torch.equal(one, other)
    one, other = (module.eval()(hidden_BTC, None, seen)[0] for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attention": {"name": "latent", "heads": 5}}, "heads=5 does not divide width=32"),
        ({"attention": {"name": "latent", "turned_channels": 3}}, "position=rotary turns pairs of channels"),
        ({"attention": "latent", "position": "alibi"}, "attention=latent does not add one"),
        ({"attention": {"name": "latent", "latent": 0}}, "latent=0 is too small"),
        (
            {"attention": "latent", "blocks": {"other": {"attention": {"turned_channels": 4}}}, "pattern": ["other"]},
            "heads of 4 channels and the others of 8",
        ),
    ],
)
def test_what_does_not_fit_is_refused(transformer, values, message):
    with pytest.raises(ConfigError, match=message):
        transformer(**values)


def test_it_is_not_cut_over_ranks(transformer):
    """The key that all heads share would be learned by each rank from its own heads alone."""
    assert transformer(attention="latent").tensor_parallel() == 1


class TestLatent(AttentionKit):
    config = config(heads=2, query_latent=6, value_channels=5, window=3)
