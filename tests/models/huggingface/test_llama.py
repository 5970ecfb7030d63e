"""LLaMA, and what is almost one: Mistral and Qwen 2."""

from tests.models.huggingface.families import FamilyTests

LLAMA = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 56,
}
#: Rotary positions for longer sequences, of which some of the 40 tokens are more than there were before.
SCALED = {"rope_theta": 100.0, "factor": 4.0}
BEFORE = {**SCALED, "original_max_position_embeddings": 16}


class TestLlama(FamilyTests):
    model_type = "llama"
    cases = {
        "plain": LLAMA,
        "multi-query": {**LLAMA, "num_key_value_heads": 1, "rms_norm_eps": 1e-3},
        "biased": {**LLAMA, "attention_bias": True, "mlp_bias": True},
        "heads of their own width": {**LLAMA, "head_dim": 12},
        "tied": {
            **LLAMA,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
        },
        "linear": {**LLAMA, "rope_parameters": {**SCALED, "rope_type": "linear"}},
        "llama3": {
            **LLAMA,
            "rope_parameters": {**BEFORE, "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 3.0},
        },
        "yarn": {**LLAMA, "rope_parameters": {**BEFORE, "rope_type": "yarn", "beta_slow": 0.5, "beta_fast": 32.0}},
        "yarn, no sharper": {
            **LLAMA,
            "rope_parameters": {
                **BEFORE,
                "rope_type": "yarn",
                "attention_factor": 1.0,
                "beta_slow": 0.2,
                "beta_fast": 0.5,
            },
        },
    }
    mutants = {
        "plain": [{"position.interleaved": True}, {"norm.around_one": True}, {"attention.scale": 0.3}],
        "multi-query": [{"norm.epsilon": 1e-6}],
        "biased": [{"attention.out_bias": False}, {"feedforward.bias": False}],
        "tied": [{"position.base": 10000.0}],
        "linear": [{"position.factor": 1.0}],
        "llama3": [{"position.fast": None}, {"position.original_length": 32}, {"position.factor": 5.0}],
        "yarn": [{"position.slow": 1.0}, {"position.temperature": 1.0}],
        "yarn, no sharper": [{"position.fast": None}, {"position.temperature": None}],
    }


class TestMistral(FamilyTests):
    model_type = "mistral"
    cases = {
        "a window": {**LLAMA, "sliding_window": 7},
        "no window": {**LLAMA, "sliding_window": None, "head_dim": 6},
    }
    mutants = {"a window": [{"attention.window": 6}, {"attention.window": 8}]}


class TestQwen2(FamilyTests):
    model_type = "qwen2"
    cases = {
        "plain": LLAMA,
        "tied, with windows in the last layers": {
            **LLAMA,
            "tie_word_embeddings": True,
            "use_sliding_window": True,
            "sliding_window": 7,
            "max_window_layers": 2,
        },
    }
    mutants = {
        "plain": [{"attention.bias": False}],
        "tied, with windows in the last layers": [
            {"blocks": {"local": {"attention": {"window": 6}}, "global": {}}},
            {"pattern": ["global", "local", "local"]},
        ],
    }
