"""StarCoder 2."""

from tests.models.huggingface.families import FamilyTests

STARCODER2 = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 56,
}


class TestStarCoder2(FamilyTests):
    model_type = "starcoder2"
    cases = {
        "a window": {**STARCODER2, "sliding_window": 7},
        "untied, unbiased": {
            **STARCODER2,
            "use_bias": False,
            "tie_word_embeddings": False,
            "norm_epsilon": 1e-3,
            "hidden_act": "gelu",
        },
    }
    mutants = {
        "a window": [
            {"attention.window": 6},
            {"attention.window": 8},
            {"attention.bias": False},
            {"attention.out_bias": False},
            {"feedforward.bias": False},
            {"norm.bias": False},
            {"feedforward.activation": "gelu"},
        ]
    }
