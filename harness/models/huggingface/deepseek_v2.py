"""DeepSeek-V2 (`DeepseekV2ForCausalLM`): as V3, but with a router by softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.models.huggingface import deepseek_v3
from harness.models.huggingface.family import refuse


def _values(theirs: Mapping[str, Any]) -> dict[str, Any]:
    refuse(theirs, {"mlp_bias": False, "norm_topk_prob": False})
    dense = theirs.get("first_k_dense_replace", 0)
    return deepseek_v3.values({**theirs, "first_k_dense_replace": dense, "rope_interleave": True}, _mixture)


def _mixture(theirs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **deepseek_v3.experts(theirs),
        "score": "softmax",
        "normalise": False,
        "balance_loss": theirs.get("aux_loss_alpha", 0.001),
        **_groups(theirs),
    }


def _groups(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """A group is as good as its best expert. Where all may be chosen there are none."""
    method, groups, chosen = (theirs.get(name) for name in ("topk_method", "n_group", "topk_group"))
    if method == "greedy" or groups == chosen:
        return {}
    refuse(theirs, {"topk_method": "group_limited_greedy"})
    return {"groups": groups, "top_groups": chosen, "group_best": 1}


def _config(ours: Any) -> dict[str, Any]:
    same = deepseek_v3.config(ours)
    own = {"model_type": "deepseek_v2", "architectures": ["DeepseekV2ForCausalLM"], "mlp_bias": False}
    left_out = {"rope_interleave"}
    if "n_group" in same:
        limited = same["topk_group"] < same["n_group"]
        own |= {"norm_topk_prob": False, "topk_method": "group_limited_greedy" if limited else "greedy"}
        left_out |= set() if limited else {"n_group", "topk_group"}
    return {**{name: value for name, value in same.items() if name not in left_out}, **own}


DEEPSEEK_V2 = replace(deepseek_v3.DEEPSEEK_V3, values=_values, config=_config)
