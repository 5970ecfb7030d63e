"""The presets, by the parameter counts of the released models, and as a user changes them."""

import pytest
from omegaconf import OmegaConf

from harness.composition import compose
from harness.config import plugin_config
from harness.models.counting import account
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
    ],
)
def test_a_preset_has_the_parameters_of_the_released_model(preset, parameters, length):
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 1024).total == parameters
    assert sum(p.numel() for p in build_on_meta(config, config.vocabulary).parameters()) == parameters
    assert config.maximum_length() == length


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
