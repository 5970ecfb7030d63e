"""Models of transformers as they are: a body and a head of the same numbers, and what a config may say."""

import json

import pytest
import torch

from harness.config import ConfigError, plugin_config, to_mapping
from harness.decoding.generate import generate, read
from harness.identity import determining
from harness.interfaces.visibility import Causal, Full, NotBefore, SameDocument, Visibility
from harness.models.counting import account
from harness.models.roles import roles
from harness.testing import ArchitectureKit
from harness.testing.models import VOCABULARY, build, hidden, simplest, stirred, tokens
from harness.testing.sees import window

SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}
GROUPED = {**SIZES, "num_key_value_heads": 1, "head_dim": 8}
TINY = {
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64},
    "qwen3": GROUPED,
    "olmo2": {**SIZES, "num_key_value_heads": 1},
    "cohere": {**SIZES, "num_key_value_heads": 1, "logit_scale": 0.3},
    "gemma2": {**GROUPED, "sliding_window": 4, "final_logit_softcapping": 2.0},
    "gemma3_text": {**GROUPED, "sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]},
    "mixtral": {**GROUPED, "num_local_experts": 4},
    "mamba2": {"num_hidden_layers": 2, "hidden_size": 16, "num_heads": 4, "head_dim": 8, "n_groups": 1, "state_size": 8},
    "opt": {**SIZES, "ffn_dim": 24, "word_embed_proj_dim": 12},
    "bert": {**SIZES, "max_position_embeddings": 64},
    "roberta": {**SIZES, "max_position_embeddings": 64},
    "t5": {"num_layers": 2, "num_decoder_layers": 2, "num_heads": 2, "d_model": 16, "d_kv": 8, "d_ff": 24},
    "bart": {
        "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 64,
    },
}  # fmt: skip
TINY["opt"].pop("intermediate_size")


def hf(model_type, **more):
    return plugin_config(
        "architecture", {"name": "hf", "model_type": model_type, "values": TINY[model_type], **more}, ""
    )


class TestQwen3(ArchitectureKit):
    config = hf("qwen3")


class TestWindowsBySome(ArchitectureKit):
    """Gemma 3's, whose table also scales its rows."""

    config = hf("gemma3_text")

    def limits(self):
        return [window(3), None]


class TestT5(ArchitectureKit):
    config = hf("t5")


class TestBert(ArchitectureKit):
    config = hf("bert")


# -------------------------------------------------------------------------------------- the same numbers


def theirs(config, seed=0):
    """As `transformers` makes it of the same values, from the same seed."""
    import transformers

    from harness_plugins.architecture.hf.theirs import made

    of = {"causal": "CausalLM", "masked": "MaskedLM", "sequence_to_sequence": "Seq2SeqLM"}[config.chosen]
    torch.manual_seed(seed)
    return getattr(transformers, f"AutoModelFor{of}").from_config(made(config, VOCABULARY)).eval()


@pytest.mark.parametrize("model_type", TINY)
def test_from_one_seed_the_logits_are_those_of_transformers_to_the_bit(model_type):
    config = hf(model_type)
    inputs_BT, source_BS = tokens().clamp(min=2), tokens(4, 7, seed=1).clamp(min=2)  # 1 is the padding of RoBERTa
    reads = {"source_BS": source_BS} if config.chosen == "sequence_to_sequence" else {}
    with torch.no_grad():
        found = build(config).logits(inputs_BT, visibility=simplest(config), **reads)
        expected = (
            theirs(config)(input_ids=source_BS, decoder_input_ids=inputs_BT)
            if reads
            else theirs(config)(input_ids=inputs_BT)
        )
    assert torch.equal(found, expected.logits)


@pytest.mark.parametrize("model_type", ["cohere", "gemma2", "t5", "bert"])
def test_a_head_takes_hidden_states_of_any_shape(model_type):
    config = hf(model_type)
    model = stirred(config)
    hidden_BTC = torch.randn(4, 5, 16)
    with torch.no_grad():
        logits_BTV = model.heads["language_model"](hidden_BTC)
        for rows in (hidden_BTC[:, -1], hidden_BTC.flatten(0, 1)):
            expected = logits_BTV[:, -1] if len(rows) == 4 else logits_BTV.flatten(0, 1)
            torch.testing.assert_close(model.heads["language_model"](rows), expected)


def test_a_causal_bert_sees_nothing_behind():
    config = hf("bert", form="causal")
    model, changed_BT = stirred(config), tokens()
    changed_BT[:, -1] = (changed_BT[:, -1] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = hidden(model, tokens(), Causal()), hidden(model, changed_BT, Causal())
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.equal(before[:, -1], after[:, -1])


@pytest.mark.parametrize("model_type", ["qwen3", "gemma3_text", "mamba2"])
def test_rows_of_unequal_length_are_written_on_as_alone(model_type):
    greedy = plugin_config("sampler", "greedy", "sampler").build()
    model, prompts = stirred(hf(model_type)), [[3, 5, 7, 2, 9], [4], [8, 1, 6]]
    together = generate(model, prompts, sampler=greedy, max_new_tokens=6)
    assert together == [generate(model, [one], sampler=greedy, max_new_tokens=6)[0] for one in prompts]


def test_what_a_model_is_not_known_to_do_is_refused_where_it_is_asked():
    from harness.errors import UserError

    model = build(hf("bart"))
    with pytest.raises(UserError, match="NotBefore visibility is asked for"), torch.no_grad():
        model.logits(tokens(), visibility=Causal() & NotBefore(torch.zeros(4)), source_BS=tokens())
    assert SameDocument not in hf("mamba2").visibilities
    assert hf("bert").visibilities == {Full, NotBefore, SameDocument}


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_what_is_read_is_read_beside_longer_texts_as_alone(model_type):
    model, inputs_BT = stirred(hf(model_type)), tokens(2)
    short_BS, long_BS = tokens(1, 4, seed=1), tokens(1, 7, seed=2)
    with torch.no_grad():
        visibility, context = read(model, [short_BS[0].tolist(), long_BS[0].tolist()], Visibility((Causal(),)))
        found = model.body(inputs_BT, context=context, visibility=visibility).hidden_BTC
        alone = [
            hidden(model, inputs_BT[row : row + 1], Causal(), source_BS=source_BS)
            for row, source_BS in enumerate((short_BS, long_BS))
        ]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model_type", TINY)
def test_every_parameter_has_a_role_and_vectors_are_gains_or_biases(model_type):
    model = build(hf(model_type))
    named = dict(model.named_parameters())
    for name, role in roles(model).items():
        assert (named[name].dim() > 1) == (role in ("matrix", "embedding")), name


@pytest.mark.parametrize("model_type", ["qwen3", "t5"])
def test_it_is_counted_without_being_built(model_type):
    config = hf(model_type)
    counted = account(config, VOCABULARY, 16)
    assert counted.total == sum(parameter.numel() for parameter in build(config).parameters())
    assert counted.forward_flops > 0


# -------------------------------------------------------------------------------------- what may be said


def refused(**values):
    with pytest.raises(ConfigError) as error:
        plugin_config("architecture", {"name": "hf", **values}, "architecture")
    return str(error.value)


def test_what_cannot_be_is_one_sentence():
    assert "say which model of transformers" in refused()
    assert "Did you mean qwen3" in refused(model_type="qwen33")
    assert "Did you mean hidden_size" in refused(model_type="qwen3", values={"hiden_size": 16})
    assert "hidden_size" in refused(model_type="qwen3", values={"hidden_size": "wide"})
    assert "vocabulary=40" in refused(model_type="qwen3", values={"vocab_size": 40})
    assert "is causal" in refused(model_type="qwen3", form="masked")
    assert "gemma3_text" in refused(model_type="gemma3")


@pytest.mark.parametrize("key", ["auto_map", "trust_remote_code", "attn_implementation", "quantization_config"])
def test_no_config_chooses_code(key, tmp_path):
    assert "only the code of transformers itself" in refused(model_type="qwen3", values={key: "someone/kernel"})
    said = {"model_type": "qwen3", **TINY["qwen3"], "nested": {key: {"AutoModelForCausalLM": "own.Mine"}}}
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert "only the code of transformers itself" in refused(folder=str(tmp_path))


def test_a_folder_counts_by_what_its_config_says_and_not_by_where_it_lies(tmp_path):
    from harness_plugins.architecture.hf.theirs import made

    config = hf("qwen3", vocabulary=VOCABULARY)
    for name in ("one", "two"):
        made(config, VOCABULARY).save_pretrained(tmp_path / name)
    one, two = (
        plugin_config("architecture", {"name": "hf", "folder": str(tmp_path / name)}, "architecture")
        for name in ("one", "two")
    )
    assert determining(one) == determining(two)
    assert one.vocabulary == VOCABULARY
    assert plugin_config("architecture", to_mapping(one), "") == one  # as a run stores it, without the folder
    assert torch.equal(*(build(each).logits(tokens()) for each in (config, one)))
