"""LLaMA (`LlamaForCausalLM`): its options and its names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface import rope
from harness.models.huggingface.family import (
    THEIR_ACTIVATIONS,
    Family,
    Names,
    Row,
    activation,
    layers,
    norm_rows,
    refuse,
    tables,
    whole,
)


def values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    width, heads = whole(theirs, "hidden_size"), whole(theirs, "num_attention_heads")
    share = rope.given(theirs).get("partial_rotary_factor", 1.0)
    refuse({**theirs, "partial_rotary_factor": share}, {"partial_rotary_factor": 1.0})
    channels = theirs.get("head_dim") or None
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": width,
        "layers": whole(theirs, "num_hidden_layers"),
        "attention": {
            "name": "multi_head",
            "heads": heads,
            "key_value_heads": theirs.get("num_key_value_heads"),
            "channels": None if channels and channels * heads == width else channels,
            "bias": theirs.get("attention_bias", False),
            "dropout": theirs.get("attention_dropout") or 0.0,
        },
        "position": rope.values(theirs),
        "feedforward": {
            "name": "gated",
            "activation": activation(theirs.get("hidden_act", "silu")),
            "hidden": whole(theirs, "intermediate_size"),
            "bias": theirs.get("mlp_bias", False),
        },
        "norm": {"name": "rmsnorm", "epsilon": theirs.get("rms_norm_eps", 1e-6)},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", False)},
        "init_std": theirs.get("initializer_range", 0.02),
        "init_scale_residual": False,
    }


def config(ours: Any) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": ours.width,
        "num_hidden_layers": ours.layers,
        "num_attention_heads": ours.attention.heads,
        "head_dim": ours.attention.head_width(ours.width),
        "num_key_value_heads": ours.attention.shared_heads,
        "attention_bias": ours.attention.bias,
        "attention_dropout": ours.attention.dropout,
        "rope_parameters": rope.parameters(ours.position),
        "intermediate_size": ours.feedforward.hidden_width(ours.width),
        "hidden_act": THEIR_ACTIVATIONS[ours.feedforward.activation],
        "mlp_bias": ours.feedforward.bias,
        "rms_norm_eps": ours.norm.epsilon,
        "tie_word_embeddings": ours.head.tied,
        "initializer_range": ours.init_std,
    }


#: Theirs to ours, within a layer.
NAMES: Names = {
    "input_layernorm": "attention_norm",
    "self_attn.q_proj": "attention.queries",
    "self_attn.k_proj": "attention.keys",
    "self_attn.v_proj": "attention.values",
    "self_attn.o_proj": "attention.out",
    "post_attention_layernorm": "feedforward_norm",
    "mlp.gate_proj": "feedforward.gate",
    "mlp.up_proj": "feedforward.up",
    "mlp.down_proj": "feedforward.down",
}


def rows(config: Any, names: Names = NAMES) -> Iterator[Row]:
    """names: of theirs to ours, within a layer."""
    yield from tables(config, "model.embed_tokens.weight")
    yield from layers(config, "model.layers.{}", names)
    yield from norm_rows(config, "model.norm", "body.norm")


LLAMA = Family(
    parts={
        "attention": "multi_head",
        "position": "rotary",
        "feedforward": "gated",
        "norm": "rmsnorm",
        "head": "language_model",
    },
    prefix="model.",
    values=values,
    config=config,
    rows=rows,
    buffers=(".rotary_emb.inv_freq",),
)
