"""The presets of T5, Flan-T5, mT5 and BART, by the parameter counts of the released models."""

import pytest
import torch
from omegaconf import OmegaConf

from harness.composition import compose
from harness.config import plugin_config
from harness.models.counting import account
from harness.models.huggingface import config_from_transformers, config_to_transformers
from harness.models.meta import build_on_meta


def architecture(*overrides: str):
    return plugin_config("architecture", OmegaConf.to_container(compose(overrides).architecture), "architecture")


def t5(width: int, heads: int, channels: int, hidden: int, layers: int, matrices: int, tables: int) -> int:
    """Parameters of T5 by its shapes. matrices: of a feedforward; tables: numbers in those of tokens."""
    attention, feedforward, norms = 4 * width * heads * channels, matrices * width * hidden, 5 * width
    return tables + layers * (3 * attention + 2 * feedforward + norms) + 2 * (width + 32 * heads)


# Shapes: Raffel et al. 2020, section 3.7 and table 14 (the config.json of t5-3b and t5-11b names 1024 channels), and
# "released_checkpoints.md" of their repository for 1.1; Xue et al. 2021, section 3.2, for mT5.
V1_1 = {
    "small": (512, 6, 64, 1024, 8),
    "base": (768, 12, 64, 2048, 12),
    "large": (1024, 16, 64, 2816, 24),
    "xl": (2048, 32, 64, 5120, 24),
    "xxl": (4096, 64, 64, 10240, 24),
}

PARAMETERS = {
    # As the Hugging Face hub states them of the safetensors of google-t5/t5-*, google/flan-t5-* and facebook/bart-*.
    "t5_small": 60_506_624,
    "t5_base": 222_903_552,
    "t5_large": 737_668_096,
    "t5_3b": 2_851_598_336,
    "t5_11b": 11_307_321_344,
    "t5v1.1_small": 76_961_152,
    "t5v1.1_base": 247_577_856,
    "t5v1.1_large": 783_150_080,
    "t5v1.1_xl": 2_849_757_184,
    "t5v1.1_xxl": 11_135_332_352,
    "bart_base": 139_420_416,
    "bart_large": 406_291_456,
    # By their shapes; Xue et al. 2021, table 1, has 300, 580 and 1200 million, 3.7 and 13 billion.
    **{f"mt5_{size}": t5(*shapes, 3, 2 * 250_112 * shapes[0]) for size, shapes in V1_1.items()},
}


@pytest.mark.parametrize("preset", PARAMETERS)
def test_a_preset_has_the_parameters_of_the_released_model(preset):
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 512).total == PARAMETERS[preset]
    assert sum(p.numel() for p in build_on_meta(config, config.vocabulary).parameters()) == PARAMETERS[preset]


@pytest.mark.parametrize(
    ("size", "millions"), [("small", 300), ("base", 580), ("large", 1200), ("xl", 3700), ("xxl", 13000)]
)
def test_mt5_has_about_the_parameters_of_its_paper(size, millions):
    assert PARAMETERS[f"mt5_{size}"] == pytest.approx(1e6 * millions, rel=0.03)


@pytest.mark.parametrize("preset", [f"t5v1.1_{size}" for size in V1_1])
def test_a_sum_of_shapes_is_what_the_hub_states(preset):
    shapes = V1_1[preset.removeprefix("t5v1.1_")]
    assert t5(*shapes, 3, 2 * 32_128 * shapes[0]) == PARAMETERS[preset]


NAMES = ("d_model", "num_heads", "d_kv", "d_ff", "num_layers")
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
    assert model.num_parameters() + own == PARAMETERS[preset]
