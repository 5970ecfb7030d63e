"""Presets of Mistral, Mixtral, Phi-3, Falcon, BLOOM, MPT and StarCoder 2, by the sizes of the released models."""

import pytest

from harness.models.counting import account
from harness.models.huggingface import config_to_transformers
from harness.models.meta import build_on_meta
from tests.plugins.architecture.test_presets import architecture

PUBLISHED = {
    # as the Hugging Face hub states them of each model's safetensors
    "mistral_7b": 7_241_732_096,
    "mixtral_8x7b": 46_702_792_704,
    "mixtral_8x22b": 140_620_634_112,
    "phi3_mini": 3_821_079_552,
    "phi3_medium": 13_960_238_080,
    "starcoder2_15b": 15_957_889_024,
    # the same; the file holds the table a second time, as its head
    "falcon_180b": 179_522_565_120 - 65_024 * 14_848,
    # the model cards
    "bloom_560m": 559_214_592,
    "bloom_1.1b": 1_065_314_304,
    "bloom_1.7b": 1_722_408_960,
    "bloom_3b": 3_002_557_440,
    "bloom_7.1b": 7_069_016_064,
    "bloom_176b": 176_247_271_424,
}

# Of these the published numbers are rounded. The sums are of the tensors' shapes: layers × (queries, keys and values;
# their projection; feedforward; norms), the table, the last norm.
BY_SHAPES = {
    # Almazrouei et al. 2023, "The Falcon Series", section 5: 64 channels to a head, two norms from 40B on
    "falcon_7b": 32 * (4544 * (71 + 2) * 64 + 4544 * 4544 + 2 * 4544 * 18176 + 2 * 4544) + 65024 * 4544 + 2 * 4544,
    "falcon_40b": 60 * (8192 * (128 + 16) * 64 + 8192 * 8192 + 2 * 8192 * 32768 + 4 * 8192) + 65024 * 8192 + 2 * 8192,
    # config.json of mosaicml/mpt-7b and mpt-30b
    "mpt_7b": 32 * (4 * 4096 * 4096 + 2 * 4096 * 16384 + 2 * 4096) + 50432 * 4096 + 4096,
    "mpt_30b": 48 * (4 * 7168 * 7168 + 2 * 7168 * 28672 + 2 * 7168) + 50432 * 7168 + 7168,
    # Lozhkov et al. 2024, table 7: 128 channels to a head, a bias for each output
    "starcoder2_3b": (
        30 * (3073 * (24 + 4) * 128 + 3073 * 3072 + 3073 * 12288 + 12289 * 3072 + 4 * 3072) + 49152 * 3072 + 2 * 3072
    ),
    "starcoder2_7b": (
        32 * (4609 * (36 + 8) * 128 + 4609 * 4608 + 4609 * 18432 + 18433 * 4608 + 4 * 4608) + 49152 * 4608 + 2 * 4608
    ),
}

#: What is printed of them, in billions: their model cards and papers.
ROUNDED = {"falcon_7b": 7, "falcon_40b": 40, "mpt_7b": 6.7, "mpt_30b": 30, "starcoder2_3b": 3, "starcoder2_7b": 7}


@pytest.mark.parametrize(("preset", "parameters"), [*PUBLISHED.items(), *BY_SHAPES.items()])
def test_a_preset_has_the_parameters_of_the_released_model(preset, parameters):
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 1024).total == parameters
    assert sum(p.numel() for p in build_on_meta(config, config.vocabulary).parameters()) == parameters


@pytest.mark.parametrize("preset", BY_SHAPES)
def test_sums_of_shapes_are_what_is_printed(preset):
    assert BY_SHAPES[preset] / 1e9 == pytest.approx(ROUNDED[preset], rel=0.04)


@pytest.mark.parametrize(("preset", "active"), [("mixtral_8x7b", 12.9), ("mixtral_8x22b", 39.2)])
def test_mixtral_uses_as_many_for_a_token_as_was_announced(preset, active):
    """The announcement of 8x7B: "46.7B total parameters but only uses 12.9B parameters per token". That of 8x22B says
    39B of 141B."""
    config = architecture(f"architecture={preset}")
    assert round(account(config, config.vocabulary, 1024).active / 1e9, 1) == active


STARCODER2 = {"attention_dropout": 0.1, "embedding_dropout": 0.1, "residual_dropout": 0.1, "sliding_window": 4096}


@pytest.mark.parametrize(
    ("preset", "model_type", "theirs"),
    [
        # what their class takes where nothing is said is the first model, but for what is said here
        ("mistral_7b", "mistral", {"rms_norm_eps": 1e-5}),
        ("mixtral_8x7b", "mixtral", {"router_aux_loss_coef": 0.02}),
        # no token of ours is padding: it need not be one of the vocabulary
        ("phi3_mini", "phi3", {"sliding_window": 2047, "pad_token_id": None}),
        ("falcon_7b", "falcon", {}),
        ("starcoder2_3b", "starcoder2", {**STARCODER2, "rope_parameters": {"rope_theta": 999999.4420358813}}),
    ],
)
def test_a_preset_is_told_to_transformers_as_they_tell_it(preset, model_type, theirs):
    from transformers import AutoConfig

    config = architecture(f"architecture={preset}")
    written = AutoConfig.for_model(**config_to_transformers(config, config.vocabulary, model_type)).to_dict()
    expected = AutoConfig.for_model(model_type, **theirs).to_dict()
    differing = {name for name in written if written[name] != expected.get(name)}
    assert differing <= {"architectures", "head_dim", "num_kv_heads"}


@pytest.mark.parametrize(
    ("preset", "model_type"),
    [
        ("mixtral_8x22b", "mixtral"),
        ("phi3_medium", "phi3"),
        ("falcon_40b", "falcon"),
        ("falcon_180b", "falcon"),
        *((preset, "bloom") for preset in PUBLISHED if preset.startswith("bloom")),
        ("mpt_7b", "mpt"),
        ("mpt_30b", "mpt"),
        ("starcoder2_7b", "starcoder2"),
        ("starcoder2_15b", "starcoder2"),
    ],
)
def test_a_preset_can_be_written_for_its_family(preset, model_type):
    config = architecture(f"architecture={preset}")
    assert config_to_transformers(config, config.vocabulary, model_type)["model_type"] == model_type
