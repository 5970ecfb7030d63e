"""Linformer's attention against its equation, and what it cannot do."""

import pytest
import torch

from harness.composition import run_config as composed
from harness.config import ConfigError
from harness.interfaces.visibility import Causal, Full, NotBefore, SameDocument
from harness.planning.plan import resolve
from harness.testing import AttentionKit
from tests.attentions import WIDTH, config, heads_of, passed, random_module

LENGTH = 11


class TestKit(AttentionKit):
    config = config("low_rank", heads=2, rank=4, length=64)


def by_hand(module, hidden_TC):
    """softmax(q (EK)ᵀ/√D) FV (Wang et al. 2020, equation 7), head by head, of one row without padding."""
    channels, places = module.head_width, len(hidden_TC)
    queries, keys, values = (heads_of(x, hidden_TC, channels) for x in (module.queries, module.keys, module.values))
    mixed = torch.empty_like(queries)
    for head in range(queries.shape[1]):
        fewer_keys = module.key_weights_RT[:, :places] @ keys[:, head]
        fewer_values = module.value_weights_RT[:, :places] @ values[:, head]
        mixed[:, head] = (queries[:, head] @ fewer_keys.T * channels**-0.5).softmax(dim=-1) @ fewer_values
    return module.out(mixed.flatten(1))


@torch.no_grad()
@pytest.mark.parametrize("values", [{}, {"shared_projection": True, "bias": True}, {"rank": 1, "heads": 1}])
def test_it_is_the_equation(values):
    options = config("low_rank", **{"rank": 5, "length": 20, **values})
    module, hidden_BTC = random_module(options), torch.randn(3, LENGTH, WIDTH)
    expected = torch.stack([by_hand(module, hidden_TC) for hidden_TC in hidden_BTC])
    torch.testing.assert_close(passed(module, hidden_BTC, Full()), expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in module.parameters()) == options.parameters(WIDTH)


@torch.no_grad()
def test_documents_are_attended_to_as_if_alone_and_padding_is_seen_by_none():
    module, hidden_BTC = random_module(config("low_rank", rank=5, length=20)), torch.randn(2, LENGTH, WIDTH)
    documents_BT = torch.tensor([[4] * 3 + [5] * 8, [4] * 7 + [9] * 4])
    found = passed(module, hidden_BTC, Full() & SameDocument(documents_BT))
    for row, ends in enumerate(([3, 8], [7, 4])):
        expected = torch.cat([by_hand(module, document) for document in hidden_BTC[row].split(ends)])
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)
    padded = passed(module, hidden_BTC, Full() & NotBefore(torch.tensor([0, 4])))
    torch.testing.assert_close(padded[0], by_hand(module, hidden_BTC[0]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(padded[1, 4:], by_hand(module, hidden_BTC[1, 4:]), rtol=1e-4, atol=1e-5)


def test_sums_begin_as_large_as_what_they_sum():
    torch.manual_seed(0)
    options = config("low_rank", rank=64, length=400)
    module = random_module(options)
    values = torch.randn(400, 200)
    torch.nn.init.normal_(module.key_weights_RT, 0.0, module.starts["key_weights_RT"])
    assert abs((module.key_weights_RT @ values).std() - 1) < 0.05


SMALL = ["experiment=tiny", "corpus=synthetic", "tokenizer=bytes", "architecture/attention=low_rank", "suite=null"]


def test_an_objective_that_must_not_see_ahead_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match="^objective=clm asks for Causal visibility, which attention=low_rank cannot"):
        resolve(composed([*SMALL, "objective=clm"]))
    resolve(composed([*SMALL, "objective=mlm"]))


def test_a_body_can_do_what_the_attention_of_every_block_can(transformer):
    blocks = {"whole": {}, "fewer": {"attention": "low_rank"}}
    mixed = transformer(blocks=blocks, pattern=["whole", "fewer"])
    assert mixed.visibilities == mixed.attention.visibilities & config("low_rank").visibilities
    assert mixed.cannot_do(frozenset({Causal})) == "attention=low_rank"
    assert mixed.maximum_length() == config("low_rank").length


def test_documents_are_kept_apart_only_where_every_attention_can(monkeypatch):
    of = composed([*SMALL, "objective=mlm", "data.attend_across_documents=false"])
    resolve(of)
    monkeypatch.setattr(type(of.architecture.attention), "visibilities", frozenset({Full}))
    with pytest.raises(ConfigError, match="^data.attend_across_documents=false asks for SameDocument.*attention=low_r"):
        resolve(of)


def test_a_sequence_longer_than_its_weights_is_refused():
    with pytest.raises(ConfigError, match="longer than architecture=transformer can see: at most 16 tokens"):
        resolve(composed([*SMALL, "objective=mlm", "architecture.attention.length=16"]))
