"""Qwen 2 and 2.5 (`Qwen2ForCausalLM`): LLaMA with biases on queries, keys and values, and windows in some layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.models.huggingface import llama
from harness.models.huggingface.family import layer_types, windows


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    same = llama.values({**theirs, "attention_bias": True, "mlp_bias": False})
    window = theirs.get("sliding_window", 4096) if theirs.get("use_sliding_window") else None
    first = theirs.get("max_window_layers", 28)  # of those with a window, where a config does not list them
    kinds = theirs.get("layer_types") or [
        "sliding_attention" if window and layer >= first else "full_attention" for layer in range(same["layers"])
    ]
    return {**same, **windows(window, kinds, {**same["attention"], "out_bias": False})}


def _config(ours: Any) -> dict[str, Any]:
    same = {name: value for name, value in llama.config(ours).items() if not name.endswith("_bias")}
    layers = layer_types(ours)
    own = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
    return {**same, **own, **layers, "use_sliding_window": layers["sliding_window"] is not None}


QWEN2 = replace(llama.LLAMA, values=_values, config=_config)
