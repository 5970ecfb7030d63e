"""Rotary positions and their scalings, as `transformers` and ours tell them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.errors import UserError
from harness.models.huggingface.family import refuse

#: Theirs to ours. Those who wrote a config before they had one name for it wrote `type`.
_SCALINGS = {"default": "none", "linear": "linear", "yarn": "yarn", "llama3": "llama3"}

#: By scaling, their names of the rotations where a pair of channels is slowed down fully, and not at all.
_ROTATIONS = {"yarn": ("beta_slow", "beta_fast"), "llama3": ("low_freq_factor", "high_freq_factor")}


def given(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Their options of rotary positions, wherever they stand, with `rope_theta` and `rope_type` among them."""
    rope = dict(theirs.get("rope_parameters") or theirs.get("rope_scaling") or {})
    rope["rope_type"] = rope.pop("type", None) or rope.get("rope_type") or "default"
    rope["rope_theta"] = rope.get("rope_theta") or theirs.get("rope_theta") or 10000.0
    if rope["rope_type"] in _ROTATIONS:
        rope.setdefault("original_max_position_embeddings", theirs.get("max_position_embeddings"))
    return rope


def values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The values of our position. Raises UserError for a scaling that has no counterpart here."""
    rope = given(theirs)
    scaling = rope["rope_type"]
    if scaling not in _SCALINGS:
        refuse({**theirs, "rope_type": scaling}, {"rope_type": " or ".join(_SCALINGS)})
    refuse({**theirs, "truncate": rope.get("truncate", True)}, {"truncate": True})
    ours: dict[str, Any] = {"name": "rotary", "base": float(rope["rope_theta"]), "scaling": _SCALINGS[scaling]}
    if scaling != "default" and not rope.get("factor"):
        raise UserError(f"The config of this {theirs['model_type']} has rope_type={scaling} and no factor beside it.")
    if scaling != "default":
        ours["factor"] = float(rope["factor"])
    if scaling in _ROTATIONS:
        slow, fast = (rope.get(name) or None for name in _ROTATIONS[scaling])
        usual = {"yarn": 32.0, "llama3": 4.0}[scaling]
        ours |= {"slow": float(slow or 1.0), "fast": None if fast in (None, usual) else float(fast)}
        ours["original_length"] = rope["original_max_position_embeddings"]
    if scaling == "yarn":
        ours["temperature"] = _temperature(rope)
    return ours


def parameters(position: Any) -> dict[str, Any]:
    """Their options of our position."""
    scaling = position.scaling
    theirs = {"rope_type": {ours: their for their, ours in _SCALINGS.items()}.get(scaling, scaling)}
    theirs["rope_theta"] = position.base
    if scaling != "none":
        theirs["factor"] = position.factor
    if scaling in _ROTATIONS:
        slow, fast = _ROTATIONS[scaling]
        theirs |= {slow: position.slow, fast: position.fastest}
        theirs["original_max_position_embeddings"] = position.original_length
    if position.temperature is not None:
        theirs["attention_factor"] = position.temperature
    return theirs


def sharpened(factor: float, share: float) -> float:
    """What YaRN multiplies queries and keys with (Peng et al. 2023, section 3.4), with its growth multiplied by
    `share`, which DeepSeek's configs call mscale."""
    return 1.0 if factor <= 1.0 else 0.1 * share * math.log(factor) + 1.0


def share_of(factor: float, sharpness: float) -> float:
    """The inverse of `sharpened`, to nine places, so that what is written is read as what it was."""
    return round((sharpness - 1.0) / (0.1 * math.log(factor)), 9)


def _temperature(rope: Mapping[str, Any]) -> float | None:
    """Of the channels that are turned. DeepSeek's are sharpened with all others, and here only by what is left."""
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return sharpened(rope["factor"], rope["mscale"]) / sharpened(rope["factor"], rope["mscale_all_dim"])
    return None
