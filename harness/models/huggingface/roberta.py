"""RoBERTa (`RobertaForMaskedLM`): BERT whose places begin behind the row of padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.models.huggingface.bert import BESIDE, NAMES, PARTS, absolute, encoder_config, encoder_rows, encoder_values
from harness.models.huggingface.family import Family, Row, whole


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    whole(theirs, "type_vocab_size")
    values = encoder_values(theirs) | absolute(theirs, theirs.get("pad_token_id", 1) + 1)
    return values | {"head": {**values["head"], "transform": "gelu"}}  # whatever the layers have


def _config(ours: Any) -> dict[str, Any]:
    return encoder_config(ours) | {
        "model_type": "roberta",
        "architectures": ["RobertaForMaskedLM"],
        "max_position_embeddings": ours.position.first + ours.position.length,
        "pad_token_id": max(0, ours.position.first - 1),
        "type_vocab_size": max(1, ours.segments),
    }


def _rows(config: Any) -> Iterator[Row]:
    yield from encoder_rows(config, "roberta.", NAMES, "lm_head", "dense", "layer_norm")


ROBERTA = Family(
    parts=PARTS,
    prefix="roberta.",
    objective="mlm",
    values=_values,
    config=_config,
    rows=_rows,
    buffers=BESIDE,
)
