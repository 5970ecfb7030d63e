"""What has no counterpart, on either side, and weights that are not those of their config."""

import pytest
import torch

from harness.errors import UserError
from harness.models.huggingface import (
    config_from_transformers,
    config_to_transformers,
    state_from_transformers,
    state_to_transformers,
)
from tests.models.huggingface.families import VOCABULARY

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
        ({"model_type": "llama", "rope_parameters": {"rope_type": "llama3"}}, "rope_type=llama3 and no factor"),
        (
            {"model_type": "llama", "rope_parameters": None, "rope_scaling": {"type": "dynamic"}},
            "rope_type=dynamic has no counterpart",
        ),
        ({"model_type": "llama", "hidden_size": "wide"}, "hidden_size='wide', where a whole number"),
        ({"model_type": "llama", "vocab_size": None}, "vocab_size=None, where a whole number"),
        ({"model_type": "llama", "hidden_act": "tanh"}, "activation tanh has no counterpart"),
    ],
)
def test_what_we_cannot_express_is_refused(theirs, message):
    from transformers import GPT2Config, LlamaConfig

    values = {"gpt2": GPT2Config(), "llama": LlamaConfig()}.get(theirs["model_type"])
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
