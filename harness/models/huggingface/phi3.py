"""Phi-3 (`Phi3ForCausalLM`): LLaMA with a sliding window, whose stacked matrices are one tensor each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.models.huggingface import llama
from harness.models.huggingface.family import Names, Row


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    rope = {**(theirs.get("rope_parameters") or theirs.get("rope_scaling") or {})}
    longer = rope.get("rope_type") or rope.get("type")
    is_long = longer in ("longrope", "su")
    plain = {"rope_theta": rope.get("rope_theta")} if is_long else {**rope, "partial_rotary_factor": 1.0}
    same = llama.values({**theirs, "rope_parameters": plain, "attention_bias": False, "mlp_bias": False})
    share = rope.get("partial_rotary_factor") or theirs.get("partial_rotary_factor") or 1.0
    position = {**same["position"], "share": share}
    return {
        **same,
        "attention": {**same["attention"], "window": theirs.get("sliding_window")},
        "position": {**position, **_longer(theirs, rope)} if is_long else position,
        "norm": {**same["norm"], "epsilon": theirs.get("rms_norm_eps", 1e-5)},
        "residual_dropout": theirs.get("resid_pdrop", 0.0),
    }


def _longer(theirs: Mapping[str, Any], rope: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a rotary position that was made for longer sequences."""
    original = rope.get("original_max_position_embeddings") or theirs.get("original_max_position_embeddings", 4096)
    return {
        "scaling": "longrope",
        "factor": rope.get("factor") or theirs["max_position_embeddings"] / original,
        "original_length": original,
        "short_factors": rope.get("short_factor"),
        "long_factors": rope.get("long_factor"),
        "temperature": rope.get("attention_factor"),
    }


def _config(ours: Any) -> dict[str, Any]:
    same = {name: value for name, value in llama.config(ours).items() if not name.endswith("_bias")}
    position = ours.position
    rope = {**same["rope_parameters"], "partial_rotary_factor": position.share}
    own = {}
    if position.scaling == "longrope":
        length = round(position.factor * position.original_length)
        own = {"original_max_position_embeddings": position.original_length, "max_position_embeddings": length}
        exact = length == position.factor * position.original_length
        rope |= {
            "rope_type": "longrope",
            "factor": None if exact else position.factor,
            "original_max_position_embeddings": position.original_length,
            "short_factor": position.short_factors,
            "long_factor": position.long_factors,
            "attention_factor": position.temperature,
        }
    return {
        **same,
        **own,
        "model_type": "phi3",
        "architectures": ["Phi3ForCausalLM"],
        "sliding_window": ours.attention.window,
        "rope_parameters": {name: value for name, value in rope.items() if value is not None},
        "resid_pdrop": ours.residual_dropout,
        "pad_token_id": None,  # its class takes the 32000th of a released vocabulary
    }


_NAMES: Names = {
    "input_layernorm": "attention_norm",
    "self_attn.qkv_proj": ("attention.queries", "attention.keys", "attention.values"),
    "self_attn.o_proj": "attention.out",
    "post_attention_layernorm": "feedforward_norm",
    "mlp.gate_up_proj": ("feedforward.gate", "feedforward.up"),
    "mlp.down_proj": "feedforward.down",
}


def _rows(config: Any) -> Iterator[Row]:
    return llama.rows(config, _NAMES)


PHI3 = replace(llama.LLAMA, values=_values, config=_config, rows=_rows)
