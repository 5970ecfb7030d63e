"""Presets as a user changes them, and as they are told to `transformers`."""

import pytest

from harness.models.huggingface import config_to_transformers
from tests.plugins.architecture.presets import architecture


@pytest.mark.parametrize(("preset", "length"), [("gpt2_124m", 1024), ("gpt1_117m", 512), ("llama2_7b", None)])
def test_positions_that_are_learned_end(preset, length):
    assert architecture(f"architecture={preset}").maximum_length() == length


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
