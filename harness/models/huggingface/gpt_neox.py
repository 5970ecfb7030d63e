"""GPT-NeoX (`GPTNeoXForCausalLM`), and so Pythia: its options and its names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface.family import (
    THEIR_ACTIVATIONS,
    THEIR_HEAD,
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
    refuse({**theirs, "rope_type": rope.get("rope_type") or rope.get("type") or "default"}, {"rope_type": "default"})
    dropout = theirs.get("hidden_dropout", 0.0)
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": whole(theirs, "hidden_size"),
        "layers": whole(theirs, "num_hidden_layers"),
        "attention": {
            "name": "multi_head",
            "heads": whole(theirs, "num_attention_heads"),
            "bias": theirs.get("attention_bias", True),
            "dropout": theirs.get("attention_dropout") or 0.0,
        },
        "position": {
            "name": "rotary",
            "base": rope.get("rope_theta") or theirs.get("rotary_emb_base") or 10000.0,
            "share": rope.get("partial_rotary_factor") or theirs.get("rotary_pct", 0.25),
        },
        "feedforward": {
            "name": "mlp",
            "activation": activation(theirs.get("hidden_act", "gelu")),
            "hidden": whole(theirs, "intermediate_size"),
            "bias": True,
        },
        "norm": {"name": "layernorm", "epsilon": theirs.get("layer_norm_eps", 1e-5)},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", False)},
        "parallel": "two_norms" if theirs.get("use_parallel_residual", True) else "none",
        "embedding_dropout": dropout,
        "residual_dropout": dropout,
        "init_std": theirs.get("initializer_range", 0.02),
        "init_scale_residual": False,
    }


def _config(ours: Any) -> dict[str, Any]:
    return {
        "model_type": "gpt_neox",
        "architectures": ["GPTNeoXForCausalLM"],
        "hidden_size": ours.width,
        "num_hidden_layers": ours.layers,
        "num_attention_heads": ours.attention.heads,
        "attention_bias": ours.attention.bias,
        "attention_dropout": ours.attention.dropout,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": ours.position.base,
            "partial_rotary_factor": ours.position.share,
        },
        "intermediate_size": ours.feedforward.hidden_width(ours.width),
        "hidden_act": THEIR_ACTIVATIONS[ours.feedforward.activation],
        "layer_norm_eps": ours.norm.epsilon,
        "tie_word_embeddings": ours.head.tied,
        "use_parallel_residual": ours.parallel == "two_norms",
        "hidden_dropout": ours.residual_dropout,
        "initializer_range": ours.init_std,
    }


#: What its head is called in files; the class of transformers calls it as all others.
_HEAD = "embed_out.weight"


_NAMES: Names = {
    "input_layernorm": "attention_norm",
    "attention.query_key_value": ("attention.queries", "attention.keys", "attention.values"),
    "attention.dense": "attention.out",
    "post_attention_layernorm": "feedforward_norm",
    "mlp.dense_h_to_4h": "feedforward.up",
    "mlp.dense_4h_to_h": "feedforward.down",
}


def _rows(config: Any) -> Iterator[Row]:
    yield from tables(config, "gpt_neox.embed_in.weight", _HEAD)
    yield from layers(config, "gpt_neox.layers.{}", _NAMES, groups=config.attention.heads)
    yield from norm_rows(config, "gpt_neox.final_layer_norm", "body.norm")


GPT_NEOX = Family(
    parts={
        "attention": "multi_head",
        "position": "rotary",
        "feedforward": "mlp",
        "norm": "layernorm",
        "head": "language_model",
    },
    prefix="gpt_neox.",
    values=_values,
    config=_config,
    rows=_rows,
    buffers=(".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
    renamed={THEIR_HEAD: _HEAD},
)
