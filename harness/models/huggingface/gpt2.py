"""GPT-2 (`GPT2LMHeadModel`): its options and its names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
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
    refuse(theirs, {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False})
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": whole(theirs, "n_embd"),
        "layers": whole(theirs, "n_layer"),
        "attention": {
            "name": "multi_head",
            "heads": whole(theirs, "n_head"),
            "bias": True,
            "dropout": theirs.get("attn_pdrop", 0.0),
        },
        "position": {"name": "learned", "length": whole(theirs, "n_positions")},
        "feedforward": {
            "name": "mlp",
            "activation": activation(theirs.get("activation_function", "gelu_new")),
            "hidden": theirs.get("n_inner") or 4 * whole(theirs, "n_embd"),
            "bias": True,
        },
        "norm": {"name": "layernorm", "epsilon": theirs.get("layer_norm_epsilon", 1e-5)},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", True)},
        "embedding_dropout": theirs.get("embd_pdrop", 0.0),
        "residual_dropout": theirs.get("resid_pdrop", 0.0),
        "init_std": theirs.get("initializer_range", 0.02),
    }


def _config(config: Any) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.attention.heads,
        "n_positions": config.position.length,
        "n_inner": config.feedforward.hidden_width(config.width),
        "activation_function": THEIR_ACTIVATIONS[config.feedforward.activation],
        "layer_norm_epsilon": config.norm.epsilon,
        "tie_word_embeddings": config.head.tied,
        "attn_pdrop": config.attention.dropout,
        "embd_pdrop": config.embedding_dropout,
        "resid_pdrop": config.residual_dropout,
        "initializer_range": config.init_std,
    }


_NAMES: Names = {
    "ln_1": "attention_norm",
    "attn.c_attn": ("attention.queries", "attention.keys", "attention.values"),
    "attn.c_proj": "attention.out",
    "ln_2": "feedforward_norm",
    "mlp.c_fc": "feedforward.up",
    "mlp.c_proj": "feedforward.down",
}


def _rows(config: Any) -> Iterator[Row]:
    yield from tables(config, "transformer.wte.weight")
    yield Row("transformer.wpe.weight", ("body.position.table.weight",))
    for row in layers(config, "transformer.h.{}", _NAMES):
        yield replace(row, transposed=".c_" in row.theirs and row.theirs.endswith("weight"))
    yield from norm_rows(config, "transformer.ln_f", "body.norm")


GPT2 = Family(
    positions="n_positions",
    parts={
        "attention": "multi_head",
        "position": "learned",
        "feedforward": "mlp",
        "norm": "layernorm",
        "head": "language_model",
    },
    prefix="transformer.",
    values=_values,
    config=_config,
    rows=_rows,
    buffers=(".attn.bias", ".attn.masked_bias"),
)
