"""MPT (`MptForCausalLM`): GPT-2 with ALiBi and no biases anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface.family import Family, Names, Row, layers, norm_rows, refuse, tables, whole

#: Options of theirs whose other values mean another model, or nothing at all to their class.
_ONLY = {"expansion_ratio": 4, "logit_scale": None, "no_bias": True}
_ONLY_ATTENTION = {
    "attn_type": "multihead_attention",
    "alibi": True,
    "alibi_bias_max": 8,
    "clip_qkv": None,
    "prefix_lm": False,
    "qk_ln": False,
}


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    attention = theirs.get("attn_config") or {}
    refuse(theirs, _ONLY)
    refuse({**attention, "model_type": theirs["model_type"]}, _ONLY_ATTENTION)
    width = whole(theirs, "d_model")
    dropout = attention.get("attn_pdrop", 0.0)
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": width,
        "layers": whole(theirs, "n_layers"),
        "attention": {
            "name": "multi_head",
            "heads": whole(theirs, "n_heads"),
            "scale": attention.get("softmax_scale"),
            "dropout": dropout,
        },
        "position": {"name": "alibi"},
        "feedforward": {"name": "mlp", "activation": "gelu", "hidden": 4 * width},
        "norm": {"name": "layernorm", "bias": False, "epsilon": theirs.get("layer_norm_epsilon", 1e-5)},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", True)},
        "residual_dropout": dropout,
        "init_std": theirs.get("initializer_range", 0.02),
        "init_scale_residual": False,
    }


def _config(ours: Any) -> dict[str, Any]:
    return {
        "model_type": "mpt",
        "architectures": ["MptForCausalLM"],
        "d_model": ours.width,
        "n_layers": ours.layers,
        "n_heads": ours.attention.heads,
        # Their class refuses a dropout that is no whole number.
        "attn_config": {"softmax_scale": ours.attention.scale, "alibi": True},
        "layer_norm_epsilon": ours.norm.epsilon,
        "learned_pos_emb": False,
        "tie_word_embeddings": ours.head.tied,
        "initializer_range": ours.init_std,
    }


_NAMES: Names = {
    "norm_1": "attention_norm",
    "attn.Wqkv": ("attention.queries", "attention.keys", "attention.values"),
    "attn.out_proj": "attention.out",
    "norm_2": "feedforward_norm",
    "ffn.up_proj": "feedforward.up",
    "ffn.down_proj": "feedforward.down",
}


def _rows(config: Any) -> Iterator[Row]:
    yield from tables(config, "transformer.wte.weight")
    yield from layers(config, "transformer.blocks.{}", _NAMES)
    yield from norm_rows(config, "transformer.norm_f", "body.norm")


MPT = Family(
    positions="max_seq_len",
    parts={
        "attention": "multi_head",
        "position": "alibi",
        "feedforward": "mlp",
        "norm": "layernorm",
        "head": "language_model",
    },
    prefix="transformer.",
    values=_values,
    config=_config,
    rows=_rows,
)
