"""T5 and mT5."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.config import replace_at
from harness.errors import UserError
from harness.files import read_json, write_json
from harness.models.huggingface import config_from_transformers, config_to_transformers
from harness.models.huggingface.folder import open_folder
from tests.models.huggingface.encoder_decoders import EncoderDecoderTests
from tests.models.huggingface.families import TOLERANCE, VOCABULARY, error, ours_from

SMALL = {"d_model": 32, "d_kv": 8, "d_ff": 56, "num_layers": 2, "num_heads": 4}
V1_1 = {**SMALL, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}

MUTANTS = [
    {"attention.scale": None},
    {"position": "none"},
    {"position.longest": 127},
    {"position.longest": 64},
    {"norm": "layernorm", "norm.bias": False},
    {"norm.epsilon": 0.1},
    {"scale_embeddings": True},
    {"final_norm": False},
]


class TestT5(EncoderDecoderTests):
    model_type = "t5"
    cases = {
        "version 1.0": SMALL,
        "version 1.1": V1_1,
        "version 1.1, tied": V1_1,
        "other heads, a short decoder": {**SMALL, "d_kv": 12, "num_decoder_layers": 1},
        "a deep decoder, other buckets and epsilon": {
            **SMALL, "num_decoder_layers": 3, "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 20, "layer_norm_epsilon": 0.1,
        },
        "another gate": {**SMALL, "feed_forward_proj": "gated-silu"},
    }  # fmt: skip
    untied = ("version 1.1",)
    mutants = {
        "version 1.0": [*MUTANTS, {"head.scale_by_width": False}, {"feedforward.activation": "gelu"}],
        "version 1.1": [
            *MUTANTS,
            {"head.scale_by_width": True},
            {"head.tied": True},
            {"feedforward.activation": "gelu"},
        ],
        "a deep decoder, other buckets and epsilon": [{"position.longest": 19}, {"norm.epsilon": 1e-6}],
    }


class TestMT5(EncoderDecoderTests):
    model_type = "mt5"
    cases = {"as released": V1_1, "tied": V1_1}
    untied = ("as released",)
    mutants = {"as released": [*MUTANTS, {"head.tied": True}], "tied": [{"head.scale_by_width": True}]}


def test_the_encoder_tells_before_from_behind():
    """Its buckets are for both directions, those of the decoder for one."""
    case = TestT5()
    theirs = case.made("version 1.0")
    _, ours = ours_from(theirs)
    for stack, other in ((ours.body.encoder, True), (ours.body, False)):
        bias = stack.position.bias
        stack.position.bias = lambda places, offset, causal, device, bias=bias, other=other: bias(
            places, offset, other, device
        )
        assert error(case.logits_of_ours(ours), case.logits_of_theirs(theirs)) > TOLERANCE
        stack.position.bias = bias
    assert error(case.logits_of_ours(ours), case.logits_of_theirs(theirs)) <= TOLERANCE


@pytest.mark.parametrize(
    ("said", "has_head", "tied", "scaled"),
    [
        ({}, False, True, True),  # version 1.0
        ({}, True, True, True),  # with a copy of its table, as older files have it
        ({"tie_word_embeddings": False}, True, False, False),  # version 1.1 and Flan as they were released
        ({"tie_word_embeddings": True, "scale_decoder_outputs": True}, True, True, True),
        ({"tie_word_embeddings": True, "scale_decoder_outputs": False}, True, False, False),  # 1.1, saved since 5
        ({"tie_word_embeddings": True, "scale_decoder_outputs": False}, False, True, False),  # begun since 5
        ({"tie_word_embeddings": False, "scale_decoder_outputs": True}, True, False, True),  # ours
    ],
)
def test_whether_the_head_is_tied_is_told_by_the_files(tmp_path, said, has_head, tied, scaled):
    TestT5().made("version 1.0").save_pretrained(tmp_path)
    config, weights = read_json(tmp_path / "config.json"), load_file(tmp_path / "model.safetensors")
    kept = {
        name: value for name, value in config.items() if name not in ("tie_word_embeddings", "scale_decoder_outputs")
    }
    write_json(tmp_path / "config.json", kept | said)
    head = {"lm_head.weight": weights["shared.weight"].clone()} if has_head else {}
    save_file(weights | head, tmp_path / "model.safetensors")
    folder = open_folder(tmp_path)
    found = folder.architecture()
    assert (found.head.tied, found.head.scale_by_width) == (tied, scaled)
    assert torch.equal(folder.weights()["heads.language_model.weight"], weights["shared.weight"])


def test_a_head_that_is_called_a_copy_and_is_none_is_refused(tmp_path):
    TestT5().made("version 1.0").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights | {"lm_head.weight": weights["shared.weight"] + 1}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"shared\.weight and lm_head\.weight differ, and are one tensor"):
        open_folder(tmp_path).weights()


def test_names_of_released_files_are_known(tmp_path):
    """The table under another of its names, and distances to the other text that are never used."""
    TestT5().made("version 1.0").save_pretrained(tmp_path)
    expected, weights = open_folder(tmp_path).weights(), load_file(tmp_path / "model.safetensors")
    weights["decoder.embed_tokens.weight"] = weights.pop("shared.weight")
    weights["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.ones(32, 4)
    save_file(weights, tmp_path / "model.safetensors")
    found = open_folder(tmp_path).weights()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"attention.bias": True}, "attention.bias=True is False in its t5"),
        ({"attention.scale": None}, "attention.scale=.* is 1.0 in its t5"),
        ({"feedforward.activation": "gelu"}, "feedforward.activation=gelu is gelu_tanh in its t5"),
        ({"scale_embeddings": True}, "scale_embeddings=True is False in its t5"),
    ],
)
def test_what_t5_cannot_be_is_told(changed, told):
    config = config_from_transformers({"model_type": "t5", "vocab_size": VOCABULARY, **V1_1})
    for path, value in changed.items():
        config = replace_at(config, path, value)
    with pytest.raises(UserError, match=told):
        config_to_transformers(config, VOCABULARY)


def test_a_scaled_head_is_written_as_t5_and_one_that_is_not_as_either():
    config = config_from_transformers({"model_type": "t5", "vocab_size": VOCABULARY, **SMALL})
    with pytest.raises(UserError, match="head.scale_by_width=True is False in its mt5"):
        config_to_transformers(config, VOCABULARY, "mt5")
    config = config_from_transformers({"model_type": "t5", "vocab_size": VOCABULARY, **V1_1})
    assert config_to_transformers(config, VOCABULARY)["model_type"] == "t5"
    assert config_to_transformers(config, VOCABULARY, "mt5")["model_type"] == "mt5"
