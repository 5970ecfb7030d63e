"""StarCoder 2 (`Starcoder2ForCausalLM`): LLaMA's attention with biases and a window, GPT-2's feedforward and norms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.models.huggingface import llama
from harness.models.huggingface.family import THEIR_ACTIVATIONS, Row, activation


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    bias = theirs.get("use_bias", True)
    same = llama.values(
        {**theirs, "attention_bias": bias, "tie_word_embeddings": theirs.get("tie_word_embeddings", True)}
    )
    mlp = {
        "name": "mlp",
        "activation": activation(theirs.get("hidden_act", "gelu_pytorch_tanh")),
        "hidden": same["feedforward"]["hidden"],
        "bias": bias,
    }
    return {
        **same,
        "attention": {**same["attention"], "window": theirs.get("sliding_window")},
        "feedforward": mlp,
        "norm": {"name": "layernorm", "epsilon": theirs.get("norm_epsilon", 1e-5)},
        "embedding_dropout": theirs.get("embedding_dropout", 0.0),
        "residual_dropout": theirs.get("residual_dropout", 0.0),
    }


def _config(ours: Any) -> dict[str, Any]:
    same = llama.config(ours)
    left_out = ("attention_bias", "mlp_bias", "rms_norm_eps", "head_dim")
    return {
        **{name: value for name, value in same.items() if name not in left_out},
        "model_type": "starcoder2",
        "architectures": ["Starcoder2ForCausalLM"],
        "use_bias": ours.attention.bias,
        "sliding_window": ours.attention.window,
        "hidden_act": {**THEIR_ACTIVATIONS, "gelu_tanh": "gelu_pytorch_tanh"}[ours.feedforward.activation],
        "norm_epsilon": ours.norm.epsilon,
        "embedding_dropout": ours.embedding_dropout,
        "residual_dropout": ours.residual_dropout,
    }


_NAMES = {
    **{name: ours for name, ours in llama.NAMES.items() if not name.startswith("mlp.")},
    "mlp.c_fc": "feedforward.up",
    "mlp.c_proj": "feedforward.down",
}


def _rows(config: Any) -> Iterator[Row]:
    return llama.rows(config, _NAMES)


STARCODER2 = replace(
    llama.LLAMA,
    parts={**llama.LLAMA.parts, "feedforward": "mlp", "norm": "layernorm"},
    values=_values,
    config=_config,
    rows=_rows,
)
