"""Phi-3."""

from tests.models.huggingface.families import FamilyTests

PHI3 = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 56,
}
LONG = {
    **PHI3,
    "original_max_position_embeddings": 16,
    "max_position_embeddings": 64,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0, 1.1, 1.3, 2.0],
        "long_factor": [1.2, 2.5, 4.0, 6.0],
        "original_max_position_embeddings": 16,
    },
}


class TestPhi3(FamilyTests):
    model_type = "phi3"
    cases = {
        "plain": {**PHI3, "num_key_value_heads": 4},
        "a window": {**PHI3, "sliding_window": 7},
        "turned in part, tied": {
            **PHI3,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5},
        },
        "made longer, in long sequences": LONG,
        "made longer, in short sequences": {
            **LONG,
            "rope_parameters": {**LONG["rope_parameters"], "original_max_position_embeddings": 40},
            "original_max_position_embeddings": 40,
            "max_position_embeddings": 120,
        },
    }
    mutants = {
        "a window": [{"attention.window": 6}, {"attention.window": 8}],
        "turned in part, tied": [{"position.share": 1.0}, {"position.interleaved": True}],
        "made longer, in long sequences": [
            {"position.temperature": 1.0},
            {"position.original_length": 40, "position.temperature": (1 + 0.5) ** 0.5},
            {"position.long_factors": [1.2, 2.5, 4.0, 6.1]},
        ],
        "made longer, in short sequences": [{"position.original_length": 39}],
    }
