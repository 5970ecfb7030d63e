"""T5 (`T5ForConditionalGeneration`), with what has its shapes, as version 1.1 and Flan: its options and its names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface.family import (
    OUR_HEAD,
    OUR_TOKENS,
    THEIR_ACTIVATIONS,
    THEIR_HEAD,
    Family,
    Row,
    activation,
    layers,
    norm_rows,
    refuse,
    whole,
)

#: What a gate's activation is called there: a gated-gelu is the approximation.
_GATES = {"gelu": "gelu_new"}


#: The names of the one table of tokens.
_TABLES = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    width, heads, channels = (whole(theirs, name) for name in ("d_model", "num_heads", "d_kv"))
    written = theirs.get("num_decoder_layers") or whole(theirs, "num_layers")
    dropout = theirs.get("dropout_rate", 0.1)
    refuse(theirs, {"is_encoder_decoder": True})
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": width,
        "layers": written,
        "encoder_layers": None if written == theirs["num_layers"] else whole(theirs, "num_layers"),
        "attention": {
            "name": "multi_head",
            "heads": heads,
            "channels": None if channels * heads == width else channels,
            "scale": 1.0,
            "dropout": dropout,
        },
        "position": {
            "name": "relative_bias",
            "buckets": theirs.get("relative_attention_num_buckets", 32),
            "longest": theirs.get("relative_attention_max_distance", 128),
        },
        "feedforward": _feedforward(theirs),
        "norm": {"name": "rmsnorm", "epsilon": theirs.get("layer_norm_epsilon", 1e-6)},
        "head": {
            "name": "language_model",
            "tied": theirs.get("tie_word_embeddings") is not False,
            "scale_by_width": scaled(theirs),
        },
        "embedding_dropout": dropout,
        "residual_dropout": dropout,
        "init_scale_residual": False,
    }


def _feedforward(theirs: Mapping[str, Any]) -> dict[str, Any]:
    kind, _, gate = theirs.get("feed_forward_proj", "relu").partition("-")
    name = activation(_GATES.get(gate, gate) if gate else kind)
    return {"name": "gated" if gate else "mlp", "activation": name, "hidden": whole(theirs, "d_ff")}


def scaled(theirs: Mapping[str, Any]) -> bool:
    """Whether hidden states are divided by √width before the head. Configs from before transformers 5 say it by whether
    the head is tied."""
    said = theirs.get("scale_decoder_outputs")
    return theirs.get("tie_word_embeddings") is not False if said is None else said


def in_files(theirs: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Since transformers 5 a T5's config says that its head is tied, whatever it is: one that is not scaled and has a
    tensor of its own is not."""
    both = THEIR_HEAD in tensors and any(name in tensors for name in _TABLES)
    copied = scaled(theirs) and theirs.get("tie_word_embeddings") is not False
    return {"scale_decoder_outputs": scaled(theirs), "tie_word_embeddings": copied or not both}


def config(ours: Any) -> dict[str, Any]:
    gated = ours.feedforward.name == "gated"
    name = THEIR_ACTIVATIONS[ours.feedforward.activation]
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "is_encoder_decoder": True,
        "d_model": ours.width,
        "num_layers": ours.encoder.layers,
        "num_decoder_layers": ours.layers,
        "num_heads": ours.attention.heads,
        "d_kv": ours.attention.head_width(ours.width),
        "d_ff": ours.feedforward.hidden_width(ours.width),
        "feed_forward_proj": f"gated-{_OUR_GATES.get(name, name)}" if gated else name,
        "relative_attention_num_buckets": ours.position.buckets,
        "relative_attention_max_distance": ours.position.longest,
        "layer_norm_epsilon": ours.norm.epsilon,
        "dropout_rate": ours.residual_dropout,
        "tie_word_embeddings": ours.head.tied,
        "scale_decoder_outputs": ours.head.scale_by_width,
    }


_OUR_GATES = {theirs: name for name, theirs in _GATES.items()}


def _names(decoder: bool, gated: bool) -> dict[str, str]:
    """Theirs to ours, within a layer of one side."""
    matrices = {"q": "queries", "k": "keys", "v": "values", "o": "out"}
    names = {f"layer.0.SelfAttention.{theirs}": f"attention.{ours}" for theirs, ours in matrices.items()}
    names["layer.0.layer_norm"] = "attention_norm"
    if decoder:
        names |= {f"layer.1.EncDecAttention.{theirs}": f"cross.{ours}" for theirs, ours in matrices.items()}
        names["layer.1.layer_norm"] = "cross_norm"
    last = f"layer.{1 + decoder}"
    up = {"wi_0": "gate", "wi_1": "up"} if gated else {"wi": "up"}
    names |= {
        f"{last}.DenseReluDense.{theirs}": f"feedforward.{ours}" for theirs, ours in (up | {"wo": "down"}).items()
    }
    return {**names, f"{last}.layer_norm": "feedforward_norm"}


def rows(config: Any) -> Iterator[Row]:
    first, *others = _TABLES
    yield Row(first, (OUR_TOKENS,), also=(*others, *[THEIR_HEAD] * config.head.tied))
    if not config.head.tied:
        yield Row(THEIR_HEAD, (OUR_HEAD,))
    for side, of, at in (("encoder", config.encoder, "body.encoder"), ("decoder", config, "body")):
        names = _names(side == "decoder", config.feedforward.name == "gated")
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield Row(bias, (f"{at}.position.table.weight",))
        yield from layers(of, side + ".block.{}", names, ours_at=f"{at}.blocks")
        yield from norm_rows(config, f"{side}.final_layer_norm", f"{at}.norm")


T5 = Family(
    architecture="encoder_decoder",
    parts={
        "attention": "multi_head",
        "position": "relative_bias",
        "feedforward": ("mlp", "gated"),
        "norm": "rmsnorm",
        "head": "language_model",
        "placement": "pre",
    },
    positions="n_positions",
    prefix="",
    objective="span",
    values=values,
    config=config,
    rows=rows,
    # what the authors' code had for distances to the other text, and never used
    buffers=("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",),
    in_files=in_files,
)
