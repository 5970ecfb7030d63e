"""BART (`BartForConditionalGeneration`): its options and its names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.models.huggingface.family import (
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

if TYPE_CHECKING:
    import torch

#: Its places count from behind a row of padding and one that was never used.
_FIRST = 2

#: A number for each token, which is added to the logits: a constant, and zero in what was released.
_BIAS = "final_logits_bias"


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    read, written = whole(theirs, "encoder_layers"), whole(theirs, "decoder_layers")
    heads, hidden = whole(theirs, "encoder_attention_heads"), whole(theirs, "encoder_ffn_dim")
    same = {"decoder_attention_heads": heads, "decoder_ffn_dim": hidden}
    older = {"normalize_before": False, "normalize_embedding": True, "add_final_layer_norm": False}
    refuse(theirs, {"tie_word_embeddings": True, "is_encoder_decoder": True, **same, **older})
    dropout = theirs.get("dropout", 0.1)
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": whole(theirs, "d_model"),
        "layers": written,
        "encoder_layers": None if read == written else read,
        "attention": {
            "name": "multi_head",
            "heads": heads,
            "bias": True,
            "dropout": theirs.get("attention_dropout", 0.0),
        },
        "position": {"name": "learned", "length": whole(theirs, "max_position_embeddings"), "first": _FIRST},
        "feedforward": {
            "name": "mlp",
            "activation": activation(theirs.get("activation_function", "gelu")),
            "hidden": hidden,
            "bias": True,
        },
        "norm": {"name": "layernorm", "epsilon": 1e-5},
        "head": {"name": "language_model", "bias": theirs.get(_BIAS, False)},
        "placement": "post",
        "embedding_norm": True,
        "scale_embeddings": theirs.get("scale_embedding", False),
        "embedding_dropout": dropout,
        "residual_dropout": dropout,
        "init_std": theirs.get("init_std", 0.02),
        "init_scale_residual": False,
    }


def _in_files(theirs: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Whether tokens have a bias, which no option of theirs says."""
    return {_BIAS: _BIAS in tensors and bool(tensors[_BIAS].any())}


def _config(ours: Any) -> dict[str, Any]:
    heads, hidden = ours.attention.heads, ours.feedforward.hidden_width(ours.width)
    return {
        "model_type": "bart",
        "architectures": ["BartForConditionalGeneration"],
        "is_encoder_decoder": True,
        "d_model": ours.width,
        "encoder_layers": ours.encoder.layers,
        "decoder_layers": ours.layers,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": hidden,
        "decoder_ffn_dim": hidden,
        "activation_function": THEIR_ACTIVATIONS[ours.feedforward.activation],
        "max_position_embeddings": ours.position.length,
        "scale_embedding": ours.scale_embeddings,
        "dropout": ours.residual_dropout,
        "attention_dropout": ours.attention.dropout,
        "init_std": ours.init_std,
        "tie_word_embeddings": True,
        _BIAS: ours.head.bias,
    }


def _names(decoder: bool) -> dict[str, str]:
    """Theirs to ours, within a layer of one side."""
    matrices = {"q_proj": "queries", "k_proj": "keys", "v_proj": "values", "out_proj": "out"}
    parts = {"self_attn": "attention"} | ({"encoder_attn": "cross"} if decoder else {})
    names = {f"{at}.{name}": f"{part}.{ours}" for at, part in parts.items() for name, ours in matrices.items()}
    norms = {f"{at}_layer_norm": f"{part}_norm" for at, part in parts.items()}
    last = {"fc1": "feedforward.up", "fc2": "feedforward.down", "final_layer_norm": "feedforward_norm"}
    return names | norms | last


@dataclass(frozen=True)
class _OneRow(Row):
    """Theirs is a matrix of one row."""

    def split(self, theirs: torch.Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
        return super().split(theirs.squeeze(0), shapes)

    def join(self, ours: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return super().join(ours)[None]


def _rows(config: Any) -> Iterator[Row]:
    tables = [f"model.{side}.embed_tokens.weight" for side in ("encoder", "decoder")]
    yield Row("model.shared.weight", (OUR_TOKENS,), also=(*tables, THEIR_HEAD))
    if config.head.bias:
        yield _OneRow(_BIAS, ("heads.language_model.bias",))
    for side, of, at in (("encoder", config.encoder, "body.encoder"), ("decoder", config, "body")):
        yield Row(f"model.{side}.embed_positions.weight", (f"{at}.position.table.weight",))
        yield from norm_rows(config, f"model.{side}.layernorm_embedding", f"{at}.embedding_norm")
        yield from layers(of, f"model.{side}.layers.{{}}", _names(side == "decoder"), ours_at=f"{at}.blocks")


BART = Family(
    architecture="encoder_decoder",
    parts={
        "attention": "multi_head",
        "position": "learned",
        "feedforward": "mlp",
        "norm": "layernorm",
        "head": "language_model",
        "placement": "post",
        "embedding_norm": True,
    },
    prefix="model.",
    objective="bart",
    values=_values,
    config=_config,
    rows=_rows,
    buffers=(_BIAS, "encoder.version", "decoder.version"),
    in_files=_in_files,
)
