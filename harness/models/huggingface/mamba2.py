"""Mamba-2 (`Mamba2ForCausalLM`): its options and its names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface.family import Family, Row, refuse, tables, whole


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    width, channels, expand = whole(theirs, "hidden_size"), whole(theirs, "head_dim"), whole(theirs, "expand")
    limits = tuple(_number(limit) for limit in theirs.get("time_step_limit") or (0.0, math.inf))
    only = {"hidden_act": "silu", "num_heads": expand * width // channels, "time_step_limit": (0.0, math.inf)}
    refuse({**theirs, "time_step_limit": limits}, only)
    epsilon = theirs.get("layer_norm_epsilon", 1e-5)
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": width,
        "layers": whole(theirs, "num_hidden_layers"),
        "expand": expand,
        "channels": channels,
        "state": whole(theirs, "state_size"),
        "groups": whole(theirs, "n_groups"),
        "taps": whole(theirs, "conv_kernel"),
        "bias": theirs.get("use_bias", False),
        "convolution_bias": theirs.get("use_conv_bias", True),
        "norm_epsilon": epsilon,
        "chunk": theirs.get("chunk_size", 256),
        "norm": {"name": "rmsnorm", "epsilon": epsilon},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", False)},
        "init_std": theirs.get("initializer_range", 0.1),
        "init_scale_residual": theirs.get("rescale_prenorm_residual", False),
    }


def _number(value: Any) -> float:
    """Their files write infinity as a mapping, since JSON has no such number."""
    return float(value["__float__"] if isinstance(value, Mapping) else value)


def _config(ours: Any) -> dict[str, Any]:
    return {
        "model_type": "mamba2",
        "architectures": ["Mamba2ForCausalLM"],
        "hidden_size": ours.width,
        "num_hidden_layers": ours.layers,
        "expand": int(ours.expand),
        "head_dim": ours.channels,
        "num_heads": ours.state_heads,
        "state_size": ours.state,
        "n_groups": ours.groups,
        "conv_kernel": ours.taps,
        "use_bias": ours.bias,
        "use_conv_bias": ours.convolution_bias,
        "layer_norm_epsilon": ours.norm_epsilon,
        "chunk_size": ours.chunk,
        "tie_word_embeddings": ours.head.tied,
        "initializer_range": ours.init_std,
        "rescale_prenorm_residual": ours.init_scale_residual,
    }


#: Ours that stand one above the other in their projection, and in their convolution.
_PROJECTED = ("gate", "values", "keys", "queries", "steps")
_CONVOLVED = ("values_convolution", "keys_convolution", "queries_convolution")


def _rows(config: Any) -> Iterator[Row]:
    yield from tables(config, "backbone.embeddings.weight")
    names = {
        "in_proj.weight": tuple(f"{name}.weight" for name in _PROJECTED),
        "conv1d.weight": tuple(f"{name}.weight" for name in _CONVOLVED),
        "out_proj.weight": ("out.weight",),
        "norm.weight": ("norm.weight",),
        "A_log": ("A_log",),
        "dt_bias": ("dt_bias",),
        "D": ("D",),
    }
    if config.bias:
        names |= {"in_proj.bias": tuple(f"{name}.bias" for name in _PROJECTED), "out_proj.bias": ("out.bias",)}
    if config.convolution_bias:
        names |= {"conv1d.bias": tuple(f"{name}.bias" for name in _CONVOLVED)}
    for layer in range(config.layers):
        theirs, ours = f"backbone.layers.{layer}", f"body.blocks.{layer}"
        yield Row(f"{theirs}.norm.weight", (f"{ours}.mixer_norm.weight",))
        for name, stacked in names.items():
            yield Row(f"{theirs}.mixer.{name}", tuple(f"{ours}.mixer.{part}" for part in stacked))
    yield Row("backbone.norm_f.weight", ("body.norm.weight",))


MAMBA2 = Family(
    architecture="mamba2",
    parts={"norm": "rmsnorm", "head": "language_model"},
    positions=None,
    prefix="backbone.",
    values=_values,
    config=_config,
    rows=_rows,
    renamed={"embedding.weight": "embeddings.weight"},
)
