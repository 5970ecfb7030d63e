"""Mixtral (`MixtralForCausalLM`): Mistral with a mixture of experts in every layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.models.huggingface import llama
from harness.models.huggingface.family import Row, layers, norm_rows, tables, whole


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    same = llama.values({**theirs, "attention_bias": False, "mlp_bias": False})
    mixture = {
        "name": "mixture_of_experts",
        "expert": same["feedforward"],
        "experts": whole(theirs, "num_local_experts"),
        "top_k": whole(theirs, "num_experts_per_tok"),
        "balance_loss": theirs.get("router_aux_loss_coef", 0.001) / _times(theirs),
    }
    return {
        **same,
        "attention": {**same["attention"], "window": theirs.get("sliding_window")},
        "feedforward": mixture,
        "norm": {**same["norm"], "epsilon": theirs.get("rms_norm_eps", 1e-5)},
    }


def _config(ours: Any) -> dict[str, Any]:
    mixture = ours.feedforward
    same = llama.config(replace(ours, feedforward=mixture.expert))
    return {
        **{name: value for name, value in same.items() if not name.endswith("_bias")},
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "sliding_window": ours.attention.window,
        "num_local_experts": mixture.experts,
        "num_experts_per_tok": mixture.top_k,
        "router_aux_loss_coef": round(mixture.balance_loss * ours.layers / mixture.top_k, 12),
    }


def _times(theirs: Mapping[str, Any]) -> float:
    """How many times as much ours weighs: layers add up, where theirs is a mean over them, and a token's experts share
    what each of them counts for in theirs."""
    return whole(theirs, "num_hidden_layers") / whole(theirs, "num_experts_per_tok")


#: Theirs to ours, within an expert.
_EXPERT = {"w1": "gate", "w2": "down", "w3": "up"}
_NAMES = {name: ours for name, ours in llama.NAMES.items() if not name.startswith("mlp.")}


def _rows(config: Any) -> Iterator[Row]:
    """By the names of files. In memory their class stacks all experts of a layer."""
    yield from tables(config, "model.embed_tokens.weight")
    yield from layers(config, "model.layers.{}", _NAMES)
    for layer in range(config.layers):
        theirs, ours = f"model.layers.{layer}.block_sparse_moe", f"body.blocks.{layer}.feedforward"
        yield Row(f"{theirs}.gate.weight", (f"{ours}.router.weight",))
        for expert in range(config.feedforward.experts):
            for name, part in _EXPERT.items():
                yield Row(f"{theirs}.experts.{expert}.{name}.weight", (f"{ours}.experts.{expert}.{part}.weight",))
    yield from norm_rows(config, "model.norm", "body.norm")


MIXTRAL = replace(
    llama.LLAMA,
    parts={**llama.LLAMA.parts, "feedforward": "mixture_of_experts"},
    values=_values,
    config=_config,
    rows=_rows,
)
