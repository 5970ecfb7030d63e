"""Gemma 2."""

from harness.models.huggingface import config_to_transformers
from tests.models.huggingface.families import VOCABULARY, FamilyTests

GEMMA2 = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 56,
    "head_dim": 12,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 3.0,
}


class TestGemma2(FamilyTests):
    model_type = "gemma2"
    cases = {
        "plain": {**GEMMA2, "sliding_window": 7},
        "biased, of one head, with an odd scale": {
            **GEMMA2,
            "num_key_value_heads": 1,
            "attention_bias": True,
            "query_pre_attn_scalar": 30,
            "sliding_window": 7,
        },
        "without caps and windows": {
            **GEMMA2,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "layer_types": ["full_attention"] * 3,
            "hidden_activation": "silu",
        },
    }
    mutants = {
        "plain": [
            {"attention.soft_cap": None},
            {"attention.scale": 0.5},
            {"head.soft_cap": None},
            {"scale_embeddings": False},
            {"norm.around_one": False},
            {"blocks": {"local": {"attention": {"window": 6}}, "global": {}}},
            {"blocks": {"local": {"attention": {"window": 8}}, "global": {}}},
            {"pattern": ["global", "local"]},
        ]
    }


def test_a_pattern_is_told_whatever_its_blocks_are_called(transformer):
    blocks = {"near": {"attention": {"window": 5}}, "far": {}}
    options = {"placement": "sandwich", "scale_embeddings": True, "norm": {"name": "rmsnorm", "around_one": True}}
    written = config_to_transformers(
        transformer(layers=4, blocks=blocks, pattern=["far", "near"], **options), VOCABULARY
    )
    assert (written["model_type"], written["sliding_window"]) == ("gemma2", 5)
    assert written["layer_types"] == ["full_attention", "sliding_attention"] * 2
