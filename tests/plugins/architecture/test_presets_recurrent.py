"""The presets of recurrent architectures."""

import pytest

from harness.models.counting import account
from tests.plugins.architecture.presets import architecture


@pytest.mark.parametrize("preset", ["rwkv4_169m", "mamba2_130m"])
def test_a_state_has_no_longest_text(preset):
    assert architecture(f"architecture={preset}").maximum_length() is None


@pytest.mark.parametrize("name", ["mamba2", "rwkv", "gla"])
def test_flops_of_a_token_are_the_same_in_texts_of_any_length(name):
    config = architecture(f"architecture={name}")
    assert account(config, 512, 256).forward_flops == account(config, 512, 16384).forward_flops
