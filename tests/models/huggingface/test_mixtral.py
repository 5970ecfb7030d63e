"""Mixtral."""

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
