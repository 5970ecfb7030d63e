"""GPT-2."""

from tests.models.huggingface.families import FamilyTests

GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 48}


class TestGPT2(FamilyTests):
    model_type = "gpt2"
    cases = {
        "plain": GPT2,
        "exact gelu": {**GPT2, "activation_function": "gelu", "n_inner": 40, "layer_norm_epsilon": 1e-3},
        "untied": {**GPT2, "tie_word_embeddings": False},
    }
    mutants = {
        "plain": [
            {"attention.bias": False},
            {"feedforward.bias": False},
            {"feedforward.activation": "gelu"},
            {"norm.bias": False},
            {"position": "none"},
        ],
        "exact gelu": [{"norm.epsilon": 1e-5}],
    }
