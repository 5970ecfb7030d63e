"""Mixtral."""

import pytest
import torch

from harness.interfaces.visibility import Causal
from harness.models.huggingface import config_from_transformers
from tests.models.huggingface.families import FamilyTests

MIXTRAL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "num_local_experts": 5,
}


class TestMixtral(FamilyTests):
    model_type = "mixtral"
    cases = {
        "plain": MIXTRAL,
        "three of its experts, a window, tied": {
            **MIXTRAL,
            "num_experts_per_tok": 3,
            "sliding_window": 7,
            "head_dim": 12,
            "tie_word_embeddings": True,
            "router_aux_loss_coef": 0.02,
        },
    }
    mutants = {
        "plain": [
            {"feedforward.normalise": False},
            {"feedforward.scale": 2.0},
            {"feedforward.score": "sigmoid"},
            {"feedforward.normalise": False, "feedforward.top_k": 1},
            {"feedforward.top_k": 3},
            {"feedforward.expert.activation": "gelu"},
            {"position.interleaved": True},
        ],
        "three of its experts, a window, tied": [{"attention.window": 6}, {"attention.window": 8}],
    }


def test_balance_weighs_what_theirs_does():
    """Where all layers route alike: theirs is of all layers as if they were one."""
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    theirs = {**MIXTRAL, "model_type": "mixtral", "vocab_size": 50, "num_experts_per_tok": 3}
    model = config_from_transformers({**theirs, "router_aux_loss_coef": 0.02}).build(50).train()
    hidden_BTC = torch.randn(1, 16, 32, generator=torch.Generator().manual_seed(0))
    routers = [block.feedforward.router for block in model.body.blocks]
    weight_EC = 50 * routers[0].weight.detach()
    for block, router in zip(model.body.blocks, routers, strict=True):
        router.weight.data = weight_EC
        plain = block.feedforward.forward
        block.feedforward.forward = lambda x, plain=plain: (plain(x)[0], plain(hidden_BTC)[1])
    total, count = model.body(torch.zeros(1, 16, dtype=torch.int64), visibility=Causal()).auxiliary["balance"]
    logits = tuple((hidden_BTC @ weight_EC.T).flatten(0, 1) for _ in routers)
    expected = 0.02 * load_balancing_loss_func(logits, 5, 3)
    assert (total / count).item() == pytest.approx(expected.item(), rel=1e-5)
