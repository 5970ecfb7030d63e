"""The presets of T5, Flan-T5, mT5 and BART, as they were released."""

import pytest
import torch

from harness.models.counting import account
from harness.models.huggingface import config_from_transformers, config_to_transformers
from tests.plugins.architecture.presets import architecture

# Raffel et al. 2020, section 3.7 and table 14 (the config.json of t5-3b and t5-11b names 1024 channels), and
# "released_checkpoints.md" of their repository for 1.1; Xue et al. 2021, section 3.2, for mT5.
NAMES = ("d_model", "num_heads", "d_kv", "d_ff", "num_layers")
V1_1 = {
    "small": (512, 6, 64, 1024, 8),
    "base": (768, 12, 64, 2048, 12),
    "large": (1024, 16, 64, 2816, 24),
    "xl": (2048, 32, 64, 5120, 24),
    "xxl": (4096, 64, 64, 10240, 24),
}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "dropout_rate": 0.0}
OLDER = {
    "small": (512, 8, 64, 2048, 6),
    "base": (768, 12, 64, 3072, 12),
    "large": (1024, 16, 64, 4096, 24),
    "3b": (1024, 32, 128, 16384, 24),
    "11b": (1024, 128, 128, 65536, 24),
}


def bart(width: int, layers: int, heads: int) -> dict[str, object]:
    sides = {"layers": layers, "attention_heads": heads, "ffn_dim": 4 * width}
    each = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in sides.items()}
    return {"model_type": "bart", "vocab_size": 50265, "d_model": width, "attention_dropout": 0.1, **each}


RELEASED = {
    **{f"t5_{size}": {"model_type": "t5", **dict(zip(NAMES, of, strict=True))} for size, of in OLDER.items()},
    **{
        f"t5v1.1_{size}": {"model_type": "t5", **dict(zip(NAMES, of, strict=True)), **GATED}
        for size, of in V1_1.items()
    },
    **{f"mt5_{size}": {"model_type": "mt5", **dict(zip(NAMES, of, strict=True)), **GATED} for size, of in V1_1.items()},
    "bart_base": bart(768, 6, 12),
    "bart_large": bart(1024, 12, 16),
}


@pytest.mark.parametrize("preset", RELEASED)
def test_a_preset_is_what_was_released(preset):
    """The config.json of each, which before transformers 5 said whether a T5's head is tied: the same options here, and
    as many parameters there, but for a head that is always tied there until its files are read."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    values = RELEASED[preset]
    ours = architecture(f"architecture={preset}")
    theirs = AutoConfig.for_model(**values)
    of_file = {**theirs.to_dict(), **values}
    assert config_from_transformers(of_file).computes() == ours.computes()
    assert config_to_transformers(ours, ours.vocabulary, values["model_type"])["model_type"] == values["model_type"]
    with torch.device("meta"):
        model = AutoModelForSeq2SeqLM.from_config(theirs)
    own = 0 if ours.head.tied else ours.vocabulary * ours.width
    assert model.num_parameters() + own == account(ours, ours.vocabulary, 512).total
