"""DeBERTa-v2 and v3 (`DebertaV2ForMaskedLM`): BERT with disentangled attention, and no places in its embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import UserError
from harness.models.huggingface.bert import BESIDE, PARTS, encoder_config, encoder_rows, encoder_values
from harness.models.huggingface.family import Family, Row, refuse, whole

#: The terms of their scores, and the options of ours for them.
_TERMS = {"p2c": "position_to_content", "c2p": "content_to_position"}


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    if theirs.get("conv_kernel_size", 0) > 0:
        raise UserError("deberta-v2 with a convolution beside its first layer (v2-xlarge) has no counterpart here.")
    width = whole(theirs, "hidden_size")
    refuse(theirs, {"relative_attention": True, "position_biased_input": False, "embedding_size": width})
    values = encoder_values({"type_vocab_size": 0, "layer_norm_eps": 1e-7, **theirs})
    attention = {
        "name": "disentangled",
        "heads": whole(theirs, "num_attention_heads"),
        "bias": True,
        "shared": theirs.get("share_att_key", False),
        **{ours: name in _terms(theirs) for name, ours in _TERMS.items()},
        "dropout": theirs.get("attention_probs_dropout_prob", 0.1),
        "position_dropout": theirs.get("hidden_dropout_prob", 0.1),
    }
    refuse(theirs, {"attention_head_size": width // attention["heads"]})
    normed = "layer_norm" in [word.strip() for word in str(theirs.get("norm_rel_ebd")).lower().split("|")]
    buckets, longest = theirs.get("position_buckets", -1), theirs.get("max_relative_positions", -1)
    position = {
        "name": "disentangled",
        "buckets": buckets if buckets > 0 else None,
        "longest": longest if longest > 0 else whole(theirs, "max_position_embeddings"),
        "norm": values["norm"] if normed else None,
    }
    return values | {"attention": attention, "position": position}


def _terms(theirs: Mapping[str, Any]) -> list[str]:
    """Those that their scores have; an older config has them in one word."""
    found = theirs.get("pos_att_type") or []
    return [term.strip() for term in found.lower().split("|")] if isinstance(found, str) else list(found)


def _config(ours: Any) -> dict[str, Any]:
    attention, position = ours.attention, ours.position
    return encoder_config(ours) | {
        "model_type": "deberta-v2",
        "architectures": ["DebertaV2ForMaskedLM"],
        "relative_attention": True,
        "position_biased_input": False,
        "share_att_key": attention.shared,
        "pos_att_type": [name for name, option in _TERMS.items() if getattr(attention, option)],
        "position_buckets": position.buckets or -1,
        "max_relative_positions": position.longest,
        "norm_rel_ebd": "none" if position.norm is None else "layer_norm",
    }


_NAMES = {
    "attention.self.query_proj": "attention.queries",
    "attention.self.key_proj": "attention.keys",
    "attention.self.value_proj": "attention.values",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feedforward.up",
    "output.dense": "feedforward.down",
    "output.LayerNorm": "feedforward_norm",
}


def _rows(config: Any) -> Iterator[Row]:
    names, attention = dict(_NAMES), config.attention
    if not attention.shared and attention.content_to_position:
        names["attention.self.pos_key_proj"] = "attention.position_keys"
    if not attention.shared and attention.position_to_content:
        names["attention.self.pos_query_proj"] = "attention.position_queries"
    yield from encoder_rows(config, "deberta.", names, "cls.predictions", "transform.dense", "transform.LayerNorm")
    yield Row("deberta.encoder.rel_embeddings.weight", ("body.position.table.weight",))
    if config.position.norm is not None:
        for kind in ("weight", "bias"):
            yield Row(f"deberta.encoder.LayerNorm.{kind}", (f"body.position.norm.{kind}",))


DEBERTA_V2 = Family(
    parts=PARTS | {"attention": "disentangled", "position": "disentangled"},
    prefix="deberta.",
    objective="mlm",
    values=_values,
    config=_config,
    rows=_rows,
    buffers=BESIDE,
    # the released checkpoints have the head of their authors' code
    renamed={
        f"lm_predictions.lm_head.{theirs}": f"cls.predictions.{ours}"
        for theirs, ours in {
            "dense.weight": "transform.dense.weight",
            "dense.bias": "transform.dense.bias",
            "LayerNorm.weight": "transform.LayerNorm.weight",
            "LayerNorm.bias": "transform.LayerNorm.bias",
            "bias": "bias",
        }.items()
    },
)
