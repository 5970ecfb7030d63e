"""RoBERTa."""

from tests.models.huggingface.encoders import ENCODER, EncoderTests

ROBERTA = {**ENCODER, "pad_token_id": 1, "type_vocab_size": 1, "layer_norm_eps": 1e-5}


class TestRoberta(EncoderTests):
    model_type = "roberta"
    padding = 1
    cases = {
        "plain": ROBERTA,
        "another activation, which its head has not, and row of padding": {
            **ROBERTA,
            "hidden_act": "relu",
            "pad_token_id": 0,
        },
    }
    mutants = {
        "plain": [
            {"position.first": 1, "position.length": 47},
            {"position.first": 3, "position.length": 45},
            {"segments": 0},
            {"head.bias": False},
            {"head.transform": "gelu_tanh"},
        ],
        "another activation, which its head has not, and row of padding": [{"head.transform": "relu"}],
    }
