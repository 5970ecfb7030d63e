"""Gemma 2 (`Gemma2ForCausalLM`): LLaMA with norms on both sides, capped scores and logits, windows in some layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.models.huggingface import llama
from harness.models.huggingface.family import THEIR_ACTIVATIONS, Row, layer_types, refuse, windows


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    refuse({**theirs, "use_bidirectional_attention": bool(theirs.get("use_bidirectional_attention"))},
           {"use_bidirectional_attention": False})  # fmt: skip
    named = {
        "hidden_act": theirs.get("hidden_activation", "gelu_pytorch_tanh"),
        "head_dim": theirs.get("head_dim", 256),
        "tie_word_embeddings": theirs.get("tie_word_embeddings", True),
        "mlp_bias": False,
    }
    same = llama.values({**theirs, **named})
    attention = {
        **same["attention"],
        "scale": theirs.get("query_pre_attn_scalar", 256) ** -0.5,
        "soft_cap": theirs.get("attn_logit_softcapping", 50.0),
    }
    kinds = theirs.get("layer_types") or [
        "full_attention" if layer % 2 else "sliding_attention" for layer in range(same["layers"])
    ]
    return {
        **same,
        **windows(theirs.get("sliding_window", 4096), kinds, attention),
        "placement": "sandwich",
        "scale_embeddings": True,
        "norm": {**same["norm"], "around_one": True},
        "head": {**same["head"], "soft_cap": theirs.get("final_logit_softcapping", 30.0)},
    }


def _config(ours: Any) -> dict[str, Any]:
    same = {name: value for name, value in llama.config(ours).items() if name not in ("hidden_act", "mlp_bias")}
    scale = ours.attention.scale
    return {
        **same,
        "model_type": "gemma2",
        "architectures": ["Gemma2ForCausalLM"],
        "hidden_activation": {**THEIR_ACTIVATIONS, "gelu_tanh": "gelu_pytorch_tanh"}[ours.feedforward.activation],
        "query_pre_attn_scalar": same["head_dim"] if scale is None else round(scale**-2),
        "attn_logit_softcapping": ours.attention.soft_cap,
        "final_logit_softcapping": ours.head.soft_cap,
        **layer_types(ours),
    }


#: Theirs to ours, within a layer.
_NAMES = {
    **llama.NAMES,
    "post_attention_layernorm": "attention_norm_after",
    "pre_feedforward_layernorm": "feedforward_norm",
    "post_feedforward_layernorm": "feedforward_norm_after",
}


def _rows(config: Any) -> Iterator[Row]:
    return llama.rows(config, _NAMES)


GEMMA2 = replace(
    llama.LLAMA, parts={**llama.LLAMA.parts, "placement": "sandwich"}, values=_values, config=_config, rows=_rows
)
