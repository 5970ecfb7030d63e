"""mT5 (`MT5ForConditionalGeneration`): T5 1.1 in many languages. Its head is never scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.models.huggingface import t5


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    return t5.values({"feed_forward_proj": "gated-gelu", **theirs, "scale_decoder_outputs": False})


def _config(ours: Any) -> dict[str, Any]:
    same = {name: value for name, value in t5.config(ours).items() if name != "scale_decoder_outputs"}
    return {**same, "model_type": "mt5", "architectures": ["MT5ForConditionalGeneration"]}


def _in_files(theirs: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    return t5.in_files({**theirs, "scale_decoder_outputs": False}, tensors)


MT5 = replace(t5.T5, values=_values, config=_config, in_files=_in_files)
