"""The presets, by the parameter counts of the released models, and as a user changes them."""

import pytest
from omegaconf import OmegaConf

from harness.composition import compose
from harness.config import plugin_config
from harness.models.counting import account
from harness.models.huggingface import config_to_transformers
from harness.models.meta import build_on_meta


def architecture(*overrides: str):
    return plugin_config("architecture", OmegaConf.to_container(compose(overrides).architecture), "architecture")


@pytest.mark.parametrize(
    ("preset", "parameters", "length"),
    [
        ("gpt2_124m", 124_439_808, 1024),
        ("gpt2_355m", 354_823_168, 1024),
        ("gpt2_774m", 774_030_080, 1024),
        ("gpt2_1558m", 1_557_611_200, 1024),
        ("llama2_7b", 6_738_415_616, None),
        ("llama2_13b", 13_015_864_320, None),
        ("llama2_70b", 68_976_648_192, None),
        # the non-embedding parameters of its paper, as below, and a table of 256,000 tokens
        ("gemma2_2b", 2_614_341_888, None),
        ("gemma2_9b", 9_241_705_984, None),
        ("gemma2_27b", 27_227_128_320, None),
        # as the Hugging Face hub states them of each model's safetensors
        ("qwen2.5_0.5b", 494_032_768, None),
        ("qwen2.5_1.5b", 1_543_714_304, None),
        ("qwen2.5_3b", 3_085_938_688, None),
        ("qwen2.5_7b", 7_615_616_512, None),
        ("qwen2.5_14b", 14_770_033_664, None),
        ("qwen2.5_32b", 32_763_876_352, None),
        ("qwen2.5_72b", 72_706_203_648, None),
        # the table of Pythia's README
        ("pythia_70m", 70_426_624, None),
        ("pythia_160m", 162_322_944, None),
        ("pythia_410m", 405_334_016, None),
        ("pythia_1b", 1_011_781_632, None),
        ("pythia_1.4b", 1_414_647_808, None),
        ("pythia_2.8b", 2_775_208_960, None),
        ("pythia_6.9b", 6_857_302_016, None),
        ("pythia_12b", 11_846_072_320, None),
    ],
)
def test_a_preset_has_the_parameters_of_the_released_model(preset, parameters, length):
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 1024).total == parameters
    assert sum(p.numel() for p in build_on_meta(config, config.vocabulary).parameters()) == parameters
    assert config.maximum_length() == length


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("gemma2_2b", 2_024_517_888), ("gemma2_9b", 8_324_201_984), ("gemma2_27b", 26_047_480_320)],
)
def test_gemma_2_has_the_non_embedding_parameters_of_its_paper(preset, parameters):
    """Gemma Team 2024, table 2."""
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 1024).non_embedding == parameters


@pytest.mark.parametrize(
    ("preset", "theirs"),
    [
        ("gemma2_2b", {}),  # what their class takes where nothing is said
        ("qwen2.5_0.5b", {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
                          "num_key_value_heads": 2, "intermediate_size": 4864, "tie_word_embeddings": True,
                          "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
    ],
)  # fmt: skip
def test_a_preset_is_told_to_transformers_as_they_tell_it(preset, theirs):
    from transformers import AutoConfig

    config = architecture(f"architecture={preset}")
    written = config_to_transformers(config, config.vocabulary)
    expected = AutoConfig.for_model(written["model_type"], **theirs).to_dict()
    assert {name: expected[name] for name in written if name not in ("architectures", "head_dim")} == {
        name: value for name, value in written.items() if name not in ("architectures", "head_dim")
    }


@pytest.mark.parametrize("preset", ["gpt2_124m", "gpt2_355m", "llama2_7b", "llama2_70b"])
@pytest.mark.parametrize("part", ["position=rotary", "position=learned", "norm=rmsnorm", "norm=layernorm"])
@pytest.mark.parametrize("feedforward", ["mlp", "gated"])
def test_a_part_of_a_preset_is_swapped_by_its_name(preset, part, feedforward):
    kind, name = part.split("=")
    config = architecture(f"architecture={preset}", f"architecture/{part}", f"architecture/feedforward={feedforward}")
    assert (getattr(config, kind).name, config.feedforward.name) == (name, feedforward)


def test_blocks_and_a_pattern_can_be_given_on_the_command_line():
    config = architecture(
        "architecture=gpt2_124m",
        "architecture.blocks={local:{attention:{window:128}},global:{}}",
        "architecture.pattern=[local,local,global]",
    )
    assert [block.attention.window for block in config.layer_blocks()][:4] == [128, 128, None, 128]
