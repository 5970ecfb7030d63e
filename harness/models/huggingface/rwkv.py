"""RWKV-4 (`RwkvForCausalLM`): its options and its names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface.family import Family, Row, refuse, tables, whole


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    width = whole(theirs, "hidden_size")
    between = {"attention_hidden_size": theirs.get("attention_hidden_size") or width}
    # Their last norm has an epsilon of its own, which is always this one.
    refuse({**theirs, **between}, {"attention_hidden_size": width, "layer_norm_epsilon": 1e-5})
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": width,
        "layers": whole(theirs, "num_hidden_layers"),
        "hidden": theirs.get("intermediate_size") or 4 * width,
        "norm": {"name": "layernorm", "epsilon": 1e-5},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", False)},
    }


def _config(ours: Any) -> dict[str, Any]:
    """`rescale_every` keeps float16 from overflowing at the price of other epsilons: what we write is not rescaled."""
    return {
        "model_type": "rwkv",
        "architectures": ["RwkvForCausalLM"],
        "hidden_size": ours.width,
        "num_hidden_layers": ours.layers,
        "intermediate_size": ours.hidden_width(),
        "layer_norm_epsilon": ours.norm.epsilon,
        "tie_word_embeddings": ours.head.tied,
        "rescale_every": 0,
    }


#: Theirs to ours, within a layer.
_NAMES = {
    "ln1.weight": "time_mix_norm.weight",
    "ln1.bias": "time_mix_norm.bias",
    "attention.time_decay": "time_mix.decay",
    "attention.time_first": "time_mix.first",
    "attention.time_mix_key": "time_mix.keys_shift.share",
    "attention.time_mix_value": "time_mix.values_shift.share",
    "attention.time_mix_receptance": "time_mix.receptance_shift.share",
    "attention.key.weight": "time_mix.keys.weight",
    "attention.value.weight": "time_mix.values.weight",
    "attention.receptance.weight": "time_mix.receptance.weight",
    "attention.output.weight": "time_mix.out.weight",
    "ln2.weight": "channel_mix_norm.weight",
    "ln2.bias": "channel_mix_norm.bias",
    "feed_forward.time_mix_key": "channel_mix.keys_shift.share",
    "feed_forward.time_mix_receptance": "channel_mix.receptance_shift.share",
    "feed_forward.key.weight": "channel_mix.keys.weight",
    "feed_forward.receptance.weight": "channel_mix.receptance.weight",
    "feed_forward.value.weight": "channel_mix.out.weight",
}


def _rows(config: Any) -> Iterator[Row]:
    yield from tables(config, "rwkv.embeddings.weight", "head.weight")
    for kind in ("weight", "bias"):
        yield Row(f"rwkv.blocks.0.pre_ln.{kind}", (f"body.embedding_norm.{kind}",))
        yield Row(f"rwkv.ln_out.{kind}", (f"body.norm.{kind}",))
    for layer in range(config.layers):
        for theirs, ours in _NAMES.items():
            yield Row(f"rwkv.blocks.{layer}.{theirs}", (f"body.blocks.{layer}.{ours}",))


RWKV = Family(
    architecture="rwkv",
    parts={"norm": "layernorm", "head": "language_model"},
    positions="context_length",
    prefix="rwkv.",
    values=_values,
    config=_config,
    rows=_rows,
)
