"""MPT."""

import pytest

from harness.errors import UserError
from harness.models.huggingface import config_from_transformers
from tests.models.huggingface.families import FamilyTests

MPT = {"d_model": 48, "n_layers": 3, "n_heads": 4, "max_seq_len": 64}


class TestMPT(FamilyTests):
    model_type = "mpt"
    cases = {
        "plain": MPT,
        "heads that are no power of two, a scale of its own": {
            **MPT,
            "n_heads": 6,
            "attn_config": {"softmax_scale": 0.4},
            "tie_word_embeddings": False,
        },
    }
    mutants = {
        "plain": [{"position": "none"}, {"feedforward.activation": "relu"}, {"norm": "rmsnorm"}],
        "heads that are no power of two, a scale of its own": [{"attention.scale": None}],
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attn_config": {"clip_qkv": 6.0}}, "mpt with clip_qkv=6.0 has no counterpart"),
        ({"attn_config": {"alibi": False}}, "mpt with alibi=False has no counterpart"),
        ({"no_bias": False}, "mpt with no_bias=False has no counterpart"),
    ],
)
def test_what_its_class_does_not_compute_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        config_from_transformers({"model_type": "mpt", "vocab_size": 9, **MPT, **options})
