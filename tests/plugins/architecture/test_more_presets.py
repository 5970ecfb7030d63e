"""Presets of GPT-3, LLaMA 3 and DeepSeek: what their papers say of layers and scales, and what `transformers` does."""

import math

import pytest

from harness.models.huggingface import config_to_transformers
from tests.plugins.architecture.presets import architecture


def test_gpt_3_is_dense_and_banded_in_turns():
    blocks = architecture("architecture=gpt3_175b").layer_blocks()
    assert [block.attention.window for block in blocks[:4]] == [None, 256, None, 256]
    assert len(blocks) == 96


@pytest.mark.parametrize(("preset", "dense"), [("deepseek_v2", 1), ("deepseek_v2_lite", 1), ("deepseek_v3", 3)])
def test_deepseek_has_dense_layers_first(preset, dense):
    config = architecture(f"architecture={preset}")
    kinds = [block.feedforward.name for block in config.layer_blocks()]
    assert kinds == ["gated"] * dense + ["mixture_of_experts"] * (config.layers - dense)


@pytest.mark.parametrize(("preset", "share"), [("deepseek_v2", 0.707), ("deepseek_v3", 1.0)])
def test_deepseeks_yarn_is_in_the_scale(preset, share):
    """√t = 0.1 · share · ln 40 + 1, and scores are divided by t as well as by √192."""
    config = architecture(f"architecture={preset}")
    assert config.attention.scale == pytest.approx((0.1 * share * math.log(40) + 1) ** 2 / math.sqrt(192), rel=1e-12)


@pytest.mark.parametrize(
    ("preset", "theirs"),
    [
        ("deepseek_v3", {"rope_parameters": {  # the rest is what their class takes where nothing is said
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "original_max_position_embeddings": 4096,
            "beta_slow": 1.0, "beta_fast": 32.0, "mscale": 1.0, "mscale_all_dim": 1.0}}),
        ("llama3.1_8b", {
            "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
            "intermediate_size": 14336, "rms_norm_eps": 1e-5, "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}),
    ],
)  # fmt: skip
def test_a_preset_is_told_to_transformers_as_they_tell_it(preset, theirs):
    from transformers import AutoConfig

    config = architecture(f"architecture={preset}")
    written = config_to_transformers(config, config.vocabulary)
    theirs = {"vocab_size": config.vocabulary, "initializer_range": config.init_std, **theirs}
    expected = AutoConfig.for_model(written["model_type"], **theirs).to_dict()
    assert {name: expected[name] for name in written if name != "architectures"} == {
        name: value for name, value in written.items() if name != "architectures"
    }
