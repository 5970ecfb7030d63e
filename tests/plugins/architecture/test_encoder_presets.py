"""The presets of BERT, RoBERTa and DeBERTa-v3, by the parameter counts of the released models."""

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


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        # As the Hugging Face hub states them of the safetensors, without the pooler and the head of next sentences,
        # which are no part of a masked language model: width² + width, and 2 · width + 2.
        ("bert_base", 110_106_428 - (768**2 + 768) - (2 * 768 + 2)),
        ("bert_large", 336_226_108 - (1024**2 + 1024) - (2 * 1024 + 2)),
        # the same, without 514 numbers of places among them
        ("roberta_base", 124_697_947 - 514),
        ("roberta_large", 355_412_571 - 514),
    ],
)
def test_a_preset_has_the_parameters_of_the_released_model(preset, parameters):
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 512).total == parameters
    assert sum(p.numel() for p in build_on_meta(config, config.vocabulary).parameters()) == parameters
    assert config.maximum_length() == 512


@pytest.mark.parametrize(
    ("preset", "millions"),
    [("deberta_v3_xsmall", 22), ("deberta_v3_small", 44), ("deberta_v3_base", 86), ("deberta_v3_large", 304)],
)
def test_deberta_v3_has_the_backbone_of_its_readme(preset, millions):
    """The table in github.com/microsoft/DeBERTa: all but the table of tokens. Its 128,100 rows stand there as 48, 98,
    98 and 131 million; the first of these is 49.2."""
    config = architecture(f"architecture={preset}")
    counted = account(config, config.vocabulary, 512)
    assert config.vocabulary == 128_100
    assert round((counted.total - config.vocabulary * config.width) / 1e6) == millions


BERT = {"vocab_size": 30522, "layer_norm_eps": 1e-12, "type_vocab_size": 2, "max_position_embeddings": 512}
ROBERTA = {
    "vocab_size": 50265,
    "layer_norm_eps": 1e-5,
    "type_vocab_size": 1,
    "max_position_embeddings": 514,
    "pad_token_id": 1,
}
DEBERTA_V3 = {
    "vocab_size": 128100,
    "layer_norm_eps": 1e-7,
    "type_vocab_size": 0,
    "max_position_embeddings": 512,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "max_relative_positions": -1,
    "position_biased_input": False,
}
XSMALL, BASE, LARGE = (
    dict(zip(("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"), sizes, strict=True))
    for sizes in ((384, 12, 6, 1536), (768, 12, 12, 3072), (1024, 24, 16, 4096))
)
RELEASED = {
    "bert_base": ("bert", BERT | BASE),
    "bert_large": ("bert", BERT | LARGE),
    "roberta_base": ("roberta", ROBERTA | BASE),
    "roberta_large": ("roberta", ROBERTA | LARGE),
    "deberta_v3_xsmall": ("deberta-v2", DEBERTA_V3 | XSMALL),
    "deberta_v3_small": ("deberta-v2", DEBERTA_V3 | BASE | {"num_hidden_layers": 6}),
    "deberta_v3_base": ("deberta-v2", DEBERTA_V3 | BASE),
    "deberta_v3_large": ("deberta-v2", DEBERTA_V3 | LARGE),
}


@pytest.mark.parametrize("preset", RELEASED)
def test_a_preset_is_what_was_released(preset):
    """The config.json of each, as `transformers` takes it: the same options here, and as many parameters there."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    model_type, values = RELEASED[preset]
    ours, theirs = architecture(f"architecture={preset}"), AutoConfig.for_model(model_type, **values)
    assert config_from_transformers(theirs.to_dict()).computes() == ours.computes()
    assert config_to_transformers(ours, ours.vocabulary)["model_type"] == model_type
    with torch.device("meta"):
        model = AutoModelForMaskedLM.from_config(theirs)
    assert model.num_parameters() == account(ours, ours.vocabulary, 512).total


def test_the_norms_inside_of_parts_are_chosen_as_the_parts_are():
    config = architecture(
        "architecture=deberta_v3_base",
        "architecture/head/transform_norm=rmsnorm",
        "architecture/position/norm=rmsnorm",
        "architecture.layers=2",
    )
    assert (config.head.transform_norm.name, config.position.norm.name, config.norm.name) == (
        "rmsnorm",
        "rmsnorm",
        "layernorm",
    )
