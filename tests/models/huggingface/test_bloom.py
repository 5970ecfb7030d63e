"""BLOOM."""

import torch

from harness.models.huggingface import config_from_transformers
from harness_plugins.position.alibi import module as alibi
from tests.models.huggingface.families import INPUTS, TOLERANCE, FamilyTests, error, ours_from, their_model

BLOOM = {"hidden_size": 48, "n_layer": 3, "n_head": 4}


class TestBloom(FamilyTests):
    model_type = "bloom"
    cases = {
        "plain": BLOOM,
        "heads that are no power of two": {**BLOOM, "n_head": 6, "layer_norm_epsilon": 1e-3},
        "untied": {**BLOOM, "tie_word_embeddings": False},
    }
    mutants = {
        "plain": [
            {"embedding_norm": False},
            {"position": "none"},
            {"attention.bias": False},
            {"feedforward.bias": False},
            {"norm.bias": False},
            {"feedforward.activation": "gelu"},
        ]
    }


def test_slopes_of_heads_that_are_no_power_of_two_matter(monkeypatch):
    """Slopes that fall evenly whatever the number of heads, as a careless reader of the paper would make them."""
    theirs = their_model(TestBloom, "heads that are no power of two")
    _, ours = ours_from(theirs)
    monkeypatch.setattr(alibi, "slopes", lambda heads, device: 2.0 ** (-8 * torch.arange(1, heads + 1) / heads))
    with torch.no_grad():
        assert error(ours.logits(INPUTS), theirs(INPUTS).logits) > TOLERANCE


def test_the_first_configs_call_the_width_otherwise():
    theirs = {"model_type": "bloom", "vocab_size": 9, "n_embed": 48, "n_layer": 2, "num_attention_heads": 4}
    config = config_from_transformers(theirs)
    assert (config.width, config.attention.heads) == (48, 4)
