"""LLaMA (`LlamaForCausalLM`): its options and its names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface.family import (
    OUR_HEAD,
    OUR_TOKENS,
    THEIR_ACTIVATIONS,
    THEIR_HEAD,
    Family,
    Row,
    activation,
    refuse,
)


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    width, heads = theirs["hidden_size"], theirs["num_attention_heads"]
    rope = theirs.get("rope_parameters") or theirs.get("rope_scaling") or {}
    scaled = rope.get("rope_type") or rope.get("type") or "default"
    head_dim = theirs.get("head_dim") or width // heads
    refuse({**theirs, "rope_type": scaled, "head_dim": head_dim}, {"rope_type": "default", "head_dim": width // heads})
    return {
        "vocabulary": theirs["vocab_size"],
        "width": width,
        "layers": theirs["num_hidden_layers"],
        "attention": {
            "name": "multi_head",
            "heads": heads,
            "key_value_heads": theirs.get("num_key_value_heads"),
            "bias": theirs.get("attention_bias", False),
            "dropout": theirs.get("attention_dropout") or 0.0,
        },
        "position": {"name": "rotary", "base": rope.get("rope_theta") or theirs.get("rope_theta") or 10000.0},
        "feedforward": {
            "name": "gated",
            "activation": activation(theirs["hidden_act"]),
            "hidden": theirs["intermediate_size"],
            "bias": theirs.get("mlp_bias", False),
        },
        "norm": {"name": "rmsnorm", "epsilon": theirs["rms_norm_eps"]},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", False)},
        "init_std": theirs.get("initializer_range", 0.02),
        "init_scale_residual": False,
    }


def _config(config: Any) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.attention.heads,
        "num_key_value_heads": config.attention.shared_heads,
        "attention_bias": config.attention.bias,
        "attention_dropout": config.attention.dropout,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.position.base},
        "intermediate_size": config.feedforward.hidden_width(config.width),
        "hidden_act": THEIR_ACTIVATIONS[config.feedforward.activation],
        "mlp_bias": config.feedforward.bias,
        "rms_norm_eps": config.norm.epsilon,
        "tie_word_embeddings": config.head.tied,
    }


#: Theirs to ours, within a layer.
_NAMES = {
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


def _rows(config: Any) -> Iterator[Row]:
    biased = {"attention": config.attention.bias, "feedforward": config.feedforward.bias}
    yield Row("model.embed_tokens.weight", (OUR_TOKENS,))
    for layer in range(config.layers):
        for theirs, ours in _NAMES.items():
            for kind in ("weight", "bias") if biased.get(ours.split(".")[0]) else ("weight",):
                yield Row(f"model.layers.{layer}.{theirs}.{kind}", (f"body.blocks.{layer}.{ours}.{kind}",))
    yield Row("model.norm.weight", ("body.norm.weight",))
    if not config.head.tied:
        yield Row(THEIR_HEAD, (OUR_HEAD,))


LLAMA = Family(
    parts={
        "attention": "multi_head",
        "position": "rotary",
        "feedforward": "gated",
        "norm": "rmsnorm",
        "head": "language_model",
    },
    prefix="model.",
    tokens="model.embed_tokens.weight",
    values=_values,
    config=_config,
    rows=_rows,
)
