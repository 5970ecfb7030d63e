"""BLOOM (`BloomForCausalLM`): GPT-2 with ALiBi and a norm after the embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface.family import Family, Names, Row, layers, norm_rows, refuse, tables, whole


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    refuse(theirs, {"apply_residual_connection_post_layernorm": False})
    width = theirs.get("hidden_size") or whole(theirs, "n_embed")  # what its first configs call it
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": width,
        "layers": whole(theirs, "n_layer"),
        "attention": {
            "name": "multi_head",
            "heads": theirs.get("n_head") or whole(theirs, "num_attention_heads"),
            "bias": True,
            "dropout": theirs.get("attention_dropout", 0.0),
        },
        "position": {"name": "alibi"},
        "feedforward": {"name": "mlp", "activation": "gelu_tanh", "hidden": 4 * width, "bias": True},
        "norm": {"name": "layernorm", "epsilon": theirs.get("layer_norm_epsilon", 1e-5)},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", True)},
        "embedding_norm": True,
        "residual_dropout": theirs.get("hidden_dropout", 0.0),
        "init_std": theirs.get("initializer_range", 0.02),
        "init_scale_residual": False,
    }


def _config(ours: Any) -> dict[str, Any]:
    return {
        "model_type": "bloom",
        "architectures": ["BloomForCausalLM"],
        "hidden_size": ours.width,
        "n_layer": ours.layers,
        "n_head": ours.attention.heads,
        "attention_dropout": ours.attention.dropout,
        "layer_norm_epsilon": ours.norm.epsilon,
        "tie_word_embeddings": ours.head.tied,
        "hidden_dropout": ours.residual_dropout,
        "initializer_range": ours.init_std,
    }


_NAMES: Names = {
    "input_layernorm": "attention_norm",
    "self_attention.query_key_value": ("attention.queries", "attention.keys", "attention.values"),
    "self_attention.dense": "attention.out",
    "post_attention_layernorm": "feedforward_norm",
    "mlp.dense_h_to_4h": "feedforward.up",
    "mlp.dense_4h_to_h": "feedforward.down",
}


def _rows(config: Any) -> Iterator[Row]:
    yield from tables(config, "transformer.word_embeddings.weight")
    yield from norm_rows(config, "transformer.word_embeddings_layernorm", "body.embedding_norm")
    yield from layers(config, "transformer.h.{}", _NAMES, groups=config.attention.heads)
    yield from norm_rows(config, "transformer.ln_f", "body.norm")


BLOOM = Family(
    positions=None,
    parts={
        "attention": "multi_head",
        "position": "alibi",
        "feedforward": "mlp",
        "norm": "layernorm",
        "head": "language_model",
        "embedding_norm": True,
    },
    prefix="transformer.",
    values=_values,
    config=_config,
    rows=_rows,
)
