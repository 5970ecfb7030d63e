"""Presets of Mistral, Mixtral, Phi-3, Falcon, BLOOM, MPT and StarCoder 2, as they are told to `transformers`."""

import pytest

from harness.models.huggingface import config_to_transformers
from tests.plugins.architecture.presets import architecture

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
        *((f"bloom_{size}", "bloom") for size in ("560m", "1.1b", "1.7b", "3b", "7.1b", "176b")),
        ("mpt_7b", "mpt"),
        ("mpt_30b", "mpt"),
        ("starcoder2_7b", "starcoder2"),
        ("starcoder2_15b", "starcoder2"),
    ],
)
def test_a_preset_can_be_written_for_its_family(preset, model_type):
    config = architecture(f"architecture={preset}")
    assert config_to_transformers(config, config.vocabulary, model_type)["model_type"] == model_type
