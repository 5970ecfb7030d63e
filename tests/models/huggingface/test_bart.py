"""BART."""

import pytest
import torch
from safetensors.torch import load_file

from harness.errors import UserError
from harness.models.huggingface import config_from_transformers, config_to_transformers, state_to_transformers
from harness.models.huggingface.folder import open_folder
from tests.models.huggingface.encoder_decoders import EncoderDecoderTests, S
from tests.models.huggingface.families import TOLERANCE, VOCABULARY, error

SMALL = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 56,
    "decoder_ffn_dim": 56,
    "max_position_embeddings": S + 2,
}


class TestBart(EncoderDecoderTests):
    model_type = "bart"
    cases = {
        "plain": SMALL,
        "scaled embeddings, a short decoder, another activation": {
            **SMALL, "scale_embedding": True, "decoder_layers": 1, "activation_function": "relu",
        },
    }  # fmt: skip
    mutants = {
        "plain": [
            {"position": "none"},
            {"position.first": 1, "position.length": S + 3},
            {"position.first": 3, "position.length": S + 1},
            {"embedding_norm": False},
            {"placement": "pre", "final_norm": False},
            {"attention.bias": False},
            {"attention.out_bias": False},
            {"attention.scale": 1.0},
            {"feedforward.bias": False},
            {"feedforward.activation": "gelu_tanh"},
            {"norm.bias": False},
            {"norm.epsilon": 0.1},
            {"scale_embeddings": True},
            {"head.scale_by_width": True},
        ],
        "scaled embeddings, a short decoder, another activation": [{"scale_embeddings": False}],
    }

    def test_a_bias_of_tokens_that_is_not_zero_is_read_and_written(self, tmp_path):
        """It is a buffer there and no option says that it is used: its values do."""
        theirs = self.made("plain")
        theirs.final_logits_bias.normal_()
        theirs.save_pretrained(tmp_path)
        expected = self.logits_of_theirs(theirs)
        theirs.final_logits_bias.zero_()
        folder = open_folder(tmp_path)
        config, weights = folder.architecture(), folder.weights()
        ours = config.build(VOCABULARY).eval()
        ours.load_state_dict(weights)
        assert error(self.logits_of_ours(ours), expected) <= TOLERANCE
        back, stored = state_to_transformers(weights, config), load_file(tmp_path / "model.safetensors")
        assert torch.equal(back["final_logits_bias"], stored["final_logits_bias"])
        assert config_from_transformers(config_to_transformers(config, VOCABULARY)) == config


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"decoder_attention_heads": 2}, "decoder_attention_heads=2 has no counterpart here, only 4"),
        ({"decoder_ffn_dim": 32}, "decoder_ffn_dim=32 has no counterpart here, only 56"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings=False has no counterpart here"),
        ({"normalize_before": True}, "normalize_before=True has no counterpart here"),
    ],
)
def test_what_our_parts_lack_is_refused(option, said):
    with pytest.raises(UserError, match=said):
        config_from_transformers({"model_type": "bart", "vocab_size": VOCABULARY, **SMALL, **option})
