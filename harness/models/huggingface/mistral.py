"""Mistral (`MistralForCausalLM`): LLaMA with a sliding window, and no biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.models.huggingface import llama


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    same = llama.values({**theirs, "attention_bias": False, "mlp_bias": False})
    window = theirs.get("sliding_window", 4096)  # what their class takes where a config says nothing
    return {**same, "attention": {**same["attention"], "window": window}}


def _config(ours: Any) -> dict[str, Any]:
    same = {name: value for name, value in llama.config(ours).items() if not name.endswith("_bias")}
    own = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": ours.attention.window}
    return {**same, **own}


MISTRAL = replace(llama.LLAMA, values=_values, config=_config)
