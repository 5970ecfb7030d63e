"""Falcon, of both architectures."""

import pytest

from harness.errors import UserError
from harness.models.huggingface import config_from_transformers
from tests.models.huggingface.families import FamilyTests

FALCON = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
NEW = {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}


class TestFalcon(FamilyTests):
    model_type = "falcon"
    cases = {
        "7b": FALCON,
        "7b, biased, one after the other": {**FALCON, "bias": True, "parallel_attn": False},
        "7b with all its heads": {**FALCON, "multi_query": False, "num_kv_heads": 4, "ffn_hidden_size": 40},
        "40b": NEW,
        "11b, with one norm": {**NEW, "num_ln_in_parallel_attn": 1, "tie_word_embeddings": False},
    }
    mutants = {
        "7b": [{"position.base": 500.0}, {"position.interleaved": True}, {"feedforward.activation": "gelu_tanh"}],
        "7b, biased, one after the other": [{"attention.bias": False}, {"feedforward.bias": False}],
        "40b": [{"parallel": "one_norm"}, {"parallel": "none"}, {"norm.bias": False}],
    }


def test_alibi_is_refused():
    """That of Falcon-RW has slopes rounded to bfloat16."""
    theirs = {"model_type": "falcon", "vocab_size": 9, "alibi": True, **FALCON}
    with pytest.raises(UserError, match="alibi=True has no counterpart"):
        config_from_transformers(theirs)
