"""The presets of BERT, RoBERTa and DeBERTa-v3, as they were released."""

import pytest
import torch

from harness.models.counting import account
from harness.models.huggingface import config_from_transformers, config_to_transformers
from tests.plugins.architecture.presets import architecture


@pytest.mark.parametrize("preset", ["bert_base", "bert_large", "roberta_base", "roberta_large"])
def test_positions_that_are_learned_end(preset):
    assert architecture(f"architecture={preset}").maximum_length() == 512


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
