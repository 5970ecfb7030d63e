"""Falcon (`FalconForCausalLM`): the 7b, with one head of keys and values, and one norm for attention and feedforward
side by side; and the “new decoder architecture” of the larger ones, with several heads and a norm for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    rope = theirs.get("rope_parameters") or theirs.get("rope_scaling") or {}
    scaled = rope.get("rope_type") or rope.get("type") or "default"
    # Its ALiBi (Falcon-RW) has slopes rounded to bfloat16, divided by √channels.
    refuse({**theirs, "rope_type": scaled}, {"rope_type": "default", "alibi": False})
    width, heads = whole(theirs, "hidden_size"), whole(theirs, "num_attention_heads")
    bias = theirs.get("bias", False)
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": width,
        "layers": whole(theirs, "num_hidden_layers"),
        "attention": {
            "name": "multi_head",
            "heads": heads,
            "key_value_heads": _key_value_heads(theirs, heads),
            "bias": bias,
            "dropout": theirs.get("attention_dropout") or 0.0,
        },
        "position": {"name": "rotary", "base": rope.get("rope_theta") or theirs.get("rope_theta") or 10000.0},
        "feedforward": {
            "name": "mlp",
            "activation": activation(theirs.get("activation") or "gelu"),
            "hidden": theirs.get("ffn_hidden_size") or 4 * width,
            "bias": bias,
        },
        "norm": {"name": "layernorm", "epsilon": theirs.get("layer_norm_epsilon") or 1e-5},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", True)},
        "parallel": _parallel(theirs),
        "residual_dropout": theirs.get("hidden_dropout") or 0.0,
        "init_std": theirs.get("initializer_range", 0.02),
        "init_scale_residual": False,
    }


def _key_value_heads(theirs: Mapping[str, Any], heads: int) -> int:
    if theirs.get("new_decoder_architecture"):
        return theirs.get("num_kv_heads") or heads
    return 1 if theirs.get("multi_query", True) else heads


def _parallel(theirs: Mapping[str, Any]) -> str:
    if theirs.get("new_decoder_architecture"):
        return "one_norm" if theirs.get("num_ln_in_parallel_attn") == 1 else "two_norms"
    return "one_norm" if theirs.get("parallel_attn", True) else "none"


def _config(ours: Any) -> dict[str, Any]:
    shared = ours.attention.shared_heads
    new = ours.parallel == "two_norms" or (ours.parallel == "one_norm" and shared not in (1, ours.attention.heads))
    return {
        "model_type": "falcon",
        "architectures": ["FalconForCausalLM"],
        "hidden_size": ours.width,
        "num_hidden_layers": ours.layers,
        "num_attention_heads": ours.attention.heads,
        "num_kv_heads": shared,
        "multi_query": shared == 1,
        "new_decoder_architecture": new,
        "num_ln_in_parallel_attn": {"one_norm": 1, "two_norms": 2}[ours.parallel] if new else None,
        "parallel_attn": ours.parallel != "none",
        "alibi": False,
        "bias": ours.attention.bias,
        "attention_dropout": ours.attention.dropout,
        "rope_parameters": {"rope_type": "default", "rope_theta": ours.position.base},
        "ffn_hidden_size": ours.feedforward.hidden_width(ours.width),
        "activation": THEIR_ACTIVATIONS[ours.feedforward.activation],
        "layer_norm_epsilon": ours.norm.epsilon,
        "tie_word_embeddings": ours.head.tied,
        "hidden_dropout": ours.residual_dropout,
        "initializer_range": ours.init_std,
    }


#: Their norms to ours, by `parallel`.
_NORMS = {
    "none": {"input_layernorm": "attention_norm", "post_attention_layernorm": "feedforward_norm"},
    "one_norm": {"input_layernorm": "attention_norm"},
    "two_norms": {"ln_attn": "attention_norm", "ln_mlp": "feedforward_norm"},
}
_NAMES: Names = {
    "self_attention.query_key_value": ("attention.queries", "attention.keys", "attention.values"),
    "self_attention.dense": "attention.out",
    "mlp.dense_h_to_4h": "feedforward.up",
    "mlp.dense_4h_to_h": "feedforward.down",
}


def _rows(config: Any) -> Iterator[Row]:
    """Queries stand beside the head of keys and values that they share, group by group, however many those are."""
    yield from tables(config, "transformer.word_embeddings.weight")
    yield from layers(
        config, "transformer.h.{}", {**_NORMS[config.parallel], **_NAMES}, groups=config.attention.shared_heads
    )
    yield from norm_rows(config, "transformer.ln_f", "body.norm")


FALCON = Family(
    parts={
        "attention": "multi_head",
        "position": "rotary",
        "feedforward": "mlp",
        "norm": "layernorm",
        "head": "language_model",
    },
    prefix="transformer.",
    values=_values,
    config=_config,
    rows=_rows,
    buffers=(".rotary_emb.inv_freq", ".rotary.inv_freq"),
)
