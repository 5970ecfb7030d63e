"""Weights and configs both ways, against `transformers` itself with every parameter random."""

import pytest
import torch

from harness.config import replace_at, to_mapping
from harness.errors import UserError
from harness.models.huggingface import (
    config_from_transformers,
    config_to_transformers,
    state_from_transformers,
    state_to_transformers,
)

VOCABULARY = 101
GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 48}
LLAMA = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 56,
}
GEMMA2 = {**LLAMA, "head_dim": 12, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "pad_token_id": None}
NEOX = {name: value for name, value in LLAMA.items() if name != "num_key_value_heads"}
CASES = {
    "gpt2": ("gpt2", GPT2),
    "gpt2 exact gelu": ("gpt2", {**GPT2, "activation_function": "gelu", "n_inner": 40, "layer_norm_epsilon": 1e-3}),
    "gpt2 untied": ("gpt2", {**GPT2, "tie_word_embeddings": False}),
    "llama": ("llama", LLAMA),
    "llama multi-query": ("llama", {**LLAMA, "num_key_value_heads": 1, "rms_norm_eps": 1e-3}),
    "llama biased": ("llama", {**LLAMA, "attention_bias": True, "mlp_bias": True}),
    "llama with heads of their own width": ("llama", {**LLAMA, "head_dim": 12}),
    "mistral": ("mistral", {**LLAMA, "sliding_window": 7}),
    "mistral without a window": ("mistral", {**LLAMA, "sliding_window": None, "head_dim": 6}),
    "gpt_neox": ("gpt_neox", NEOX),
    "gpt_neox one after the other, unbiased, turned whole": (
        "gpt_neox",
        {
            **NEOX,
            "use_parallel_residual": False,
            "attention_bias": False,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0},
        },
    ),
    "qwen2": ("qwen2", LLAMA),
    "qwen2 tied, with windows in the last layers": (
        "qwen2",
        {**LLAMA, "tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 2},
    ),
    "gemma2": ("gemma2", {**GEMMA2, "sliding_window": 7}),
    "gemma2 biased, of one head, with an odd scale": (
        "gemma2",
        {**GEMMA2, "num_key_value_heads": 1, "attention_bias": True, "query_pre_attn_scalar": 30, "sliding_window": 7},
    ),
    "gemma2 without caps and windows": (
        "gemma2",
        {
            **GEMMA2,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "layer_types": ["full_attention"] * 3,
            "hidden_activation": "silu",
        },
    ),
    "llama tied": (
        "llama",
        {**LLAMA, "tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    ),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def theirs(request):
    """A model of `transformers`, small, every parameter random: biases and gains too."""
    from transformers import AutoConfig, AutoModelForCausalLM

    model_type, values = request.param
    config = AutoConfig.for_model(model_type, vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **values)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.4)
    return model


def ours_from(theirs):
    config = config_from_transformers(theirs.config.to_dict())
    model = config.build(VOCABULARY).eval()
    model.load_state_dict(state_from_transformers(theirs.state_dict(), config))
    return config, model


def test_logits_are_equal(theirs):
    _, ours = ours_from(theirs)
    inputs = torch.randint(VOCABULARY, (3, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = ours.logits(inputs), theirs(inputs).logits
    assert ((found - expected).abs().max() / expected.abs().max()).item() <= 1e-4


@pytest.mark.parametrize("mutant", [
    {"attention.soft_cap": None},
    {"attention.scale": 0.5},
    {"head.soft_cap": None},
    {"scale_embeddings": False},
    {"norm.around_one": False},
    {"blocks": {"local": {"attention": {"window": 6}}, "global": {}}},
    {"blocks": {"local": {"attention": {"window": 8}}, "global": {}}},
    {"pattern": ["global", "local"]},
])  # fmt: skip
@pytest.mark.parametrize("theirs", [CASES["gemma2"]], indirect=True, ids=["gemma2"])
def test_each_option_of_gemma_2_is_needed(theirs, mutant):
    config, ours = ours_from(theirs)
    for path, value in mutant.items():
        config = replace_at(config, path, value)
    changed = config.build(VOCABULARY).eval()
    changed.load_state_dict(ours.state_dict())
    inputs = torch.randint(VOCABULARY, (3, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = changed.logits(inputs), theirs(inputs).logits
    assert ((found - expected).abs().max() / expected.abs().max()).item() > 1e-3


def test_nothing_of_transformers_is_inside_ours(theirs):
    _, ours = ours_from(theirs)
    assert not [type(m) for m in ours.modules() if type(m).__module__.startswith("transformers")]


def test_weights_come_back_exactly(theirs):
    config, ours = ours_from(theirs)
    back, expected = state_to_transformers(ours.state_dict(), config), theirs.state_dict()
    assert back.keys() == expected.keys()
    assert all(torch.equal(back[name], expected[name]) for name in expected)


def test_the_config_comes_back(theirs):
    from transformers import AutoConfig

    config, _ = ours_from(theirs)
    written = config_to_transformers(config, VOCABULARY)
    again = AutoConfig.for_model(**written)
    assert to_mapping(config_from_transformers(again.to_dict())) == to_mapping(config)


def test_a_checkpoint_of_the_body_alone_is_read(theirs):
    """The GPT-2 that was released has no prefix, and its causal masks among its tensors."""
    config, ours = ours_from(theirs)
    base = dict(theirs.base_model.state_dict())
    if not config.head.tied:
        base["lm_head.weight"] = theirs.lm_head.weight
    base |= {"h.0.attn.bias": torch.ones(1), "layers.0.self_attn.rotary_emb.inv_freq": torch.ones(1)}
    base |= {"layers.0.attention.bias": torch.ones(1)}
    found, expected = state_from_transformers(base, config), ours.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_pattern_is_told_whatever_its_blocks_are_called(transformer):
    blocks = {"near": {"attention": {"window": 5}}, "far": {}}
    options = {"placement": "sandwich", "scale_embeddings": True, "norm": {"name": "rmsnorm", "around_one": True}}
    written = config_to_transformers(
        transformer(layers=4, blocks=blocks, pattern=["far", "near"], **options), VOCABULARY
    )
    assert (written["model_type"], written["sliding_window"]) == ("gemma2", 5)
    assert written["layer_types"] == ["full_attention", "sliding_attention"] * 2


def test_the_head_of_old_gpt_neox_checkpoints_is_found(transformer):
    options = {"position": {"name": "rotary", "share": 0.25}, "norm": "layernorm", "parallel": "two_norms"}
    biased = {"attention": {"name": "multi_head", "bias": True}, "feedforward": {"name": "mlp", "bias": True}}
    config = transformer(**options, **biased, head={"name": "language_model", "tied": False}, vocabulary=VOCABULARY)
    ours = config.build(VOCABULARY).state_dict()
    theirs = state_to_transformers(ours, config)
    theirs["embed_out.weight"] = theirs.pop("lm_head.weight")
    found = state_from_transformers(theirs, config)
    assert all(torch.equal(found[name], ours[name]) for name in ours)


EXPERTS = {"feedforward": {"name": "mixture_of_experts", "expert": {"name": "gated"}}}


def small(transformer, **values):
    return transformer(**{"attention": {"name": "multi_head", "key_value_heads": 2}, **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"norm": "layernorm"}, "No model of transformers is made of"),
        ({"attention": {"name": "multi_head", "window": 4, "bias": True}}, "window=4 is None in its llama, and .*bias"),
        ({"placement": "post"}, "placement=post"),
        ({"pattern": ["a", "b"], "blocks": {"a": {}, "b": EXPERTS}}, "No model of transformers is made of"),
        ({"pattern": ["a"], "blocks": {"a": {"feedforward": {"hidden": 8}}}}, "blocks"),
    ],
)
def test_what_transformers_cannot_express_is_refused(transformer, values, message):
    with pytest.raises(UserError, match=message):
        config_to_transformers(small(transformer, **values), VOCABULARY)


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"model_type": "mamba"}, "model_type=mamba cannot be taken"),
        ({"model_type": "gpt2", "scale_attn_weights": False}, "scale_attn_weights=False has no counterpart"),
        ({"model_type": "llama", "rope_parameters": {"rope_type": "llama3"}}, "rope_type=llama3 has no counterpart"),
        (
            {"model_type": "llama", "rope_parameters": None, "rope_scaling": {"type": "linear"}},
            "rope_type=linear has no counterpart",
        ),
        ({"model_type": "llama", "hidden_size": "wide"}, "hidden_size='wide', where a whole number"),
        ({"model_type": "llama", "vocab_size": None}, "vocab_size=None, where a whole number"),
        ({"model_type": "llama", "hidden_act": "tanh"}, "activation tanh has no counterpart"),
    ],
)
def test_what_we_cannot_express_is_refused(theirs, message):
    from transformers import GPT2Config, LlamaConfig

    values = {"gpt2": GPT2Config(**GPT2), "llama": LlamaConfig(**LLAMA)}.get(theirs["model_type"])
    with pytest.raises(UserError, match=message):
        config_from_transformers({**(values.to_dict() if values else {}), **theirs})


def test_missing_left_over_and_misshapen_weights_are_named(transformer):
    config = small(transformer, vocabulary=VOCABULARY)
    good = state_to_transformers(config.build(VOCABULARY).state_dict(), config)
    query = "model.layers.0.self_attn.q_proj.weight"
    with pytest.raises(UserError, match=f"no {query}"):
        state_from_transformers({name: tensor for name, tensor in good.items() if name != query}, config)
    with pytest.raises(UserError, match=r"have model\.extra, for which"):
        state_from_transformers({**good, "model.extra": torch.ones(1)}, config)
    with pytest.raises(UserError, match="another shape"):
        state_from_transformers({**good, query: torch.ones(8, 32)}, config)
