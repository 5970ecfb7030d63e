"""BERT."""

import pytest
import torch

from harness.config import replace_at
from harness.errors import UserError
from harness.interfaces.visibility import Full
from harness.models.huggingface import (
    config_from_transformers,
    config_to_transformers,
    state_from_transformers,
    state_to_transformers,
)
from tests.models.huggingface.encoders import ENCODER, EncoderTests
from tests.models.huggingface.families import INPUTS, TOLERANCE, VOCABULARY, error, ours_from

THEIRS = {"model_type": "bert", "vocab_size": VOCABULARY, "type_vocab_size": 2, **ENCODER}


class TestBert(EncoderTests):
    model_type = "bert"
    cases = {
        "plain": ENCODER,
        "another activation and epsilon": {**ENCODER, "hidden_act": "gelu_new", "layer_norm_eps": 0.1},
        "three segments": {**ENCODER, "type_vocab_size": 3},
    }
    mutants = {
        "plain": [
            {"segments": 0},
            {"position": "none"},
            {"attention.bias": False},
            {"feedforward.bias": False},
            {"feedforward.activation": "relu"},
            {"norm.bias": False},
            {"embedding_norm": False},
            {"placement": "pre", "final_norm": False},
            {"head.bias": False},
            {"head.transform": "relu"},
            {"head.transform_norm": None},
        ],
        "another activation and epsilon": [
            {"norm.epsilon": 1e-12},
            {"head.transform_norm.epsilon": 1e-12},
            {"head.transform": "gelu"},
        ],
    }

    @torch.no_grad()
    def test_segments_are_told_apart(self):
        theirs = self.made("three segments")
        _, ours = ours_from(theirs)
        segments_BT = INPUTS % 3
        hidden_BTC = ours.body(self.inputs, segments_BT=segments_BT, visibility=Full()).hidden_BTC
        expected = theirs(self.inputs, token_type_ids=segments_BT).logits
        assert error(ours.heads["language_model"](hidden_BTC), expected) <= TOLERANCE

    def test_heads_of_whole_texts_and_old_names_are_known(self):
        """The BERT that was released has a pooler, a head of next sentences, and gammas and betas."""
        config, ours = ours_from(self.made("plain"))
        stored = state_to_transformers(ours.state_dict(), config)
        old = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
            for name, tensor in stored.items()
        }
        old |= {"bert.pooler.dense.weight": torch.ones(1), "cls.seq_relationship.bias": torch.ones(1)}
        found, expected = state_from_transformers(old, config), ours.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("option", ["is_decoder", "add_cross_attention"])
def test_a_bert_that_decodes_is_refused(option):
    with pytest.raises(UserError, match=f"bert with {option}=True has no counterpart here"):
        config_from_transformers(THEIRS | {option: True})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"segments": 0}, "architecture.segments=0 is 1 in its bert"),
        ({"head.tied": False}, "architecture.head.tied=False is True in its bert"),
        ({"head.transform_norm": None, "head.transform": None}, "architecture.head.transform=None is gelu in its bert"),
        ({"attention.window": 8}, "architecture.attention.window=8 is None in its bert"),
    ],
)
def test_what_bert_cannot_be_is_told(changed, told):
    config = config_from_transformers(THEIRS)
    for path, value in changed.items():
        config = replace_at(config, path, value)
    with pytest.raises(UserError, match=told):
        config_to_transformers(config, VOCABULARY)
