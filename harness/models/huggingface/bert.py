"""BERT (`BertForMaskedLM`): its options and its names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface.family import (
    OUR_TOKENS,
    THEIR_ACTIVATIONS,
    Family,
    Row,
    activation,
    layers,
    norm_rows,
    refuse,
    whole,
)


def encoder_values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """What BERT and its successors have in common: norms of sums, biases, and a head with a transform."""
    refuse(
        theirs,
        {
            "is_decoder": False,
            "add_cross_attention": False,
            "tie_word_embeddings": True,
            "position_embedding_type": "absolute",
        },
    )
    hidden_act = activation(theirs.get("hidden_act", "gelu"))
    norm = {"name": "layernorm", "epsilon": theirs.get("layer_norm_eps", 1e-12)}
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": whole(theirs, "hidden_size"),
        "layers": whole(theirs, "num_hidden_layers"),
        "feedforward": {
            "name": "mlp",
            "activation": hidden_act,
            "hidden": whole(theirs, "intermediate_size"),
            "bias": True,
        },
        "norm": norm,
        "head": {"name": "language_model", "bias": True, "transform": hidden_act, "transform_norm": norm},
        "placement": "post",
        "embedding_norm": True,
        "segments": theirs.get("type_vocab_size", 2),
        "embedding_dropout": theirs.get("hidden_dropout_prob", 0.1),
        "residual_dropout": theirs.get("hidden_dropout_prob", 0.1),
        "init_std": theirs.get("initializer_range", 0.02),
        "init_scale_residual": False,
    }


def encoder_config(ours: Any) -> dict[str, Any]:
    """The inverse of `encoder_values`."""
    return {
        "hidden_size": ours.width,
        "num_hidden_layers": ours.layers,
        "num_attention_heads": ours.attention.heads,
        "attention_probs_dropout_prob": ours.attention.dropout,
        "intermediate_size": ours.feedforward.hidden_width(ours.width),
        "hidden_act": THEIR_ACTIVATIONS[ours.feedforward.activation],
        "layer_norm_eps": ours.norm.epsilon,
        "type_vocab_size": ours.segments,
        "hidden_dropout_prob": ours.residual_dropout,
        "initializer_range": ours.init_std,
    }


def absolute(theirs: Mapping[str, Any], first: int) -> dict[str, Any]:
    """The attention and the position of BERT and RoBERTa, whose first place has a row of its own."""
    attention = {
        "name": "multi_head",
        "heads": whole(theirs, "num_attention_heads"),
        "bias": True,
        "dropout": theirs.get("attention_probs_dropout_prob", 0.1),
    }
    length = whole(theirs, "max_position_embeddings") - first
    return {"attention": attention, "position": {"name": "learned", "length": length, "first": first}}


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    whole(theirs, "type_vocab_size")
    return encoder_values(theirs) | absolute(theirs, 0)


def _config(ours: Any) -> dict[str, Any]:
    return encoder_config(ours) | {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM"],
        "max_position_embeddings": ours.position.length,
        "type_vocab_size": max(1, ours.segments),
    }


NAMES = {
    "attention.self.query": "attention.queries",
    "attention.self.key": "attention.keys",
    "attention.self.value": "attention.values",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feedforward.up",
    "output.dense": "feedforward.down",
    "output.LayerNorm": "feedforward_norm",
}

_OUR_HEAD = "heads.language_model"


def encoder_rows(config: Any, prefix: str, names: Mapping[str, str], head: str, dense: str, norm: str) -> Iterator[Row]:
    """Rows of the tables of tokens, segments and places, of the layers and of the head. prefix: of the body; names: of
    a layer; head, dense, norm: what the head, its matrix and its norm are called."""
    yield Row(f"{prefix}embeddings.word_embeddings.weight", (OUR_TOKENS,), also=(f"{head}.decoder.weight",))
    if config.position.name == "learned":
        yield Row(f"{prefix}embeddings.position_embeddings.weight", ("body.position.table.weight",))
    if config.segments:
        yield Row(f"{prefix}embeddings.token_type_embeddings.weight", ("body.segments.weight",))
    yield from norm_rows(config, f"{prefix}embeddings.LayerNorm", "body.embedding_norm")
    yield from layers(config, prefix + "encoder.layer.{}", names)
    for kind in ("weight", "bias"):
        yield Row(f"{head}.{dense}.{kind}", (f"{_OUR_HEAD}.transform.dense.{kind}",))
        yield Row(f"{head}.{norm}.{kind}", (f"{_OUR_HEAD}.transform.norm.{kind}",))
    yield Row(f"{head}.bias", (f"{_OUR_HEAD}.bias",), also=(f"{head}.decoder.bias",))


def _rows(config: Any) -> Iterator[Row]:
    yield from encoder_rows(config, "bert.", NAMES, "cls.predictions", "transform.dense", "transform.LayerNorm")


PARTS = {
    "attention": "multi_head",
    "position": "learned",
    "feedforward": "mlp",
    "norm": "layernorm",
    "head": "language_model",
    "placement": "post",
    "embedding_norm": True,
}

#: Heads of whole texts, and numbers of places, that released checkpoints hold beside what a masked language model is.
BESIDE = (".pooler.dense.weight", ".pooler.dense.bias", ".position_ids")

BERT = Family(
    parts=PARTS,
    prefix="bert.",
    objective="mlm",
    values=_values,
    config=_config,
    rows=_rows,
    buffers=(*BESIDE, ".seq_relationship.weight", ".seq_relationship.bias"),
    renamed={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
)
