"""GPT-NeoX, and so Pythia."""

import torch

from harness.models.huggingface import state_from_transformers, state_to_transformers
from tests.models.huggingface.families import VOCABULARY, FamilyTests

NEOX = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 56}


class TestGPTNeoX(FamilyTests):
    model_type = "gpt_neox"
    cases = {
        "plain": NEOX,
        "one after the other, unbiased, turned whole": {
            **NEOX,
            "use_parallel_residual": False,
            "attention_bias": False,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0},
        },
    }
    mutants = {
        "plain": [
            {"parallel": "none"},
            {"position.share": 0.5},
            {"attention.out_bias": False},
        ],
        "one after the other, unbiased, turned whole": [{"position.interleaved": True}],
    }


def test_the_head_is_found_by_either_of_its_names(transformer):
    options = {"position": {"name": "rotary", "share": 0.25}, "norm": "layernorm", "parallel": "two_norms"}
    biased = {"attention": {"name": "multi_head", "bias": True}, "feedforward": {"name": "mlp", "bias": True}}
    config = transformer(**options, **biased, head={"name": "language_model", "tied": False}, vocabulary=VOCABULARY)
    ours = config.build(VOCABULARY).state_dict()
    theirs = state_to_transformers(ours, config)
    theirs["lm_head.weight"] = theirs.pop("embed_out.weight")
    found = state_from_transformers(theirs, config)
    assert all(torch.equal(found[name], ours[name]) for name in ours)
