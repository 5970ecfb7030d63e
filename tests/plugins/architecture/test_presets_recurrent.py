"""The presets of recurrent architectures, by the parameter counts of the released models."""

import pytest
from omegaconf import OmegaConf

from harness.composition import compose
from harness.config import plugin_config
from harness.models.counting import account
from harness.models.meta import build_on_meta


def architecture(*overrides: str):
    return plugin_config("architecture", OmegaConf.to_container(compose(overrides).architecture), "architecture")


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        # Peng et al. 2023, appendix: 2VD + 13D²L + D(11L + 4), which table 2 rounds to 1.693e8, 4.304e8, 1.515e9,
        # 2.985e9, 7.393e9 and 1.415e10
        ("rwkv4_169m", 169_342_464),
        ("rwkv4_430m", 430_397_440),
        ("rwkv4_1.5b", 1_515_106_304),
        ("rwkv4_3b", 2_984_627_200),
        ("rwkv4_7b", 7_392_649_216),
        ("rwkv4_14b", 14_148_597_760),
        ("mamba2_130m", 128_989_632),
        ("mamba2_370m", 368_346_624),
        ("mamba2_780m", 780_161_280),
        ("mamba2_1.3b", 1_343_757_312),
        ("mamba2_2.7b", 2_702_599_680),
    ],
)
def test_a_preset_has_the_parameters_of_the_released_model(preset, parameters):
    config = architecture(f"architecture={preset}")
    assert account(config, config.vocabulary, 1024).total == parameters
    assert sum(p.numel() for p in build_on_meta(config, config.vocabulary).parameters()) == parameters
    assert config.maximum_length() is None


@pytest.mark.parametrize("name", ["mamba2", "rwkv", "gla"])
def test_flops_of_a_token_are_the_same_in_texts_of_any_length(name):
    config = architecture(f"architecture={name}")
    assert account(config, 512, 256).forward_flops == account(config, 512, 16384).forward_flops
