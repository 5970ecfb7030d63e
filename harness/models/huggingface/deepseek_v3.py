"""DeepSeek-V3 (`DeepseekV3ForCausalLM`): latent attention, and experts in all layers but the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.models.huggingface import rope
from harness.models.huggingface.family import (
    THEIR_ACTIVATIONS,
    Family,
    Row,
    activation,
    norm_rows,
    refuse,
    tables,
    whole,
)

#: How fast the router's bias moves in training (DeepSeek-AI 2024, section 4.2), which their configs do not say.
BIAS_RATE = 0.001

#: The norms of latents have it whatever `rms_norm_eps` says.
LATENT_EPSILON = 1e-6


def values(
    theirs: Mapping[str, Any], mixture: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """mixture: makes the values of what holds the experts; None: as V3 has it."""
    refuse(theirs, {"attention_bias": False, "num_key_value_heads": theirs.get("num_attention_heads")})
    layers = whole(theirs, "num_hidden_layers")
    return {
        "vocabulary": whole(theirs, "vocab_size"),
        "width": whole(theirs, "hidden_size"),
        "layers": layers,
        "attention": _attention(theirs),
        "position": {**rope.values(theirs), "interleaved": theirs.get("rope_interleave", True)},
        **_feedforwards(theirs, layers, mixture),
        "norm": {"name": "rmsnorm", "epsilon": theirs.get("rms_norm_eps", 1e-6)},
        "head": {"name": "language_model", "tied": theirs.get("tie_word_embeddings", False)},
        "init_std": theirs.get("initializer_range", 0.02),
        "init_scale_residual": False,
    }


def _feedforwards(
    theirs: Mapping[str, Any], layers: int, mixture: Callable[[Mapping[str, Any]], dict[str, Any]] | None
) -> dict[str, Any]:
    """Dense in the first layers, and experts in those that are left."""
    dense = min(theirs.get("first_k_dense_replace", 3), layers)
    first = {"feedforward": gated(theirs, whole(theirs, "intermediate_size"))} if dense else {}
    if dense == layers:
        return first
    experts = {"feedforward": (mixture or _mixture)(theirs)}
    if not dense:
        return experts
    return {
        **experts,
        "blocks": {"dense": first, "experts": {}},
        "pattern": ["dense"] * dense + ["experts"] * (layers - dense),
    }


def _attention(theirs: Mapping[str, Any]) -> dict[str, Any]:
    still, turned = whole(theirs, "qk_nope_head_dim"), whole(theirs, "qk_rope_head_dim")
    scaling, scale = rope.given(theirs), None
    if scaling["rope_type"] != "default" and scaling.get("mscale_all_dim"):
        scale = (still + turned) ** -0.5 * rope.sharpened(scaling["factor"], scaling["mscale_all_dim"]) ** 2
    return {
        "name": "latent",
        "heads": whole(theirs, "num_attention_heads"),
        "latent": whole(theirs, "kv_lora_rank"),
        "query_latent": theirs.get("q_lora_rank"),
        "channels": still,
        "turned_channels": turned,
        "value_channels": whole(theirs, "v_head_dim"),
        "latent_norm": {"name": "rmsnorm", "epsilon": LATENT_EPSILON},
        "scale": scale,
        "dropout": theirs.get("attention_dropout") or 0.0,
    }


def gated(theirs: Mapping[str, Any], hidden: int) -> dict[str, Any]:
    return {"name": "gated", "activation": activation(theirs.get("hidden_act", "silu")), "hidden": hidden}


def experts(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """What mixtures of V2 and V3 have in common."""
    hidden = whole(theirs, "moe_intermediate_size")
    return {
        "name": "mixture_of_experts",
        "expert": gated(theirs, hidden),
        "shared": gated(theirs, whole(theirs, "n_shared_experts") * hidden),
        "experts": whole(theirs, "n_routed_experts"),
        "top_k": whole(theirs, "num_experts_per_tok"),
        "scale": theirs.get("routed_scaling_factor", 1.0),
    }


def _mixture(theirs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **experts(theirs),
        "score": "sigmoid",
        "normalise": theirs.get("norm_topk_prob", True),
        "groups": theirs.get("n_group") or 1,
        "top_groups": theirs.get("topk_group") or 1,
        "balance_loss": 0.0,
        "bias_rate": BIAS_RATE,
    }


def config(ours: Any) -> dict[str, Any]:
    attention, matched = ours.attention, ours.attention.matched(ours.width)
    found = [block.feedforward for block in ours.layer_blocks()]
    mixed = [part for part in found if part.name == "mixture_of_experts"]
    dense = [part for part in found if part.name == "gated"]
    return {
        "model_type": "deepseek_v3",
        "architectures": ["DeepseekV3ForCausalLM"],
        "hidden_size": ours.width,
        "num_hidden_layers": ours.layers,
        "num_attention_heads": attention.heads,
        "num_key_value_heads": attention.heads,
        "kv_lora_rank": attention.latent,
        "q_lora_rank": attention.query_latent,
        "qk_nope_head_dim": attention.still(ours.width),
        "qk_rope_head_dim": attention.turned_channels,
        "v_head_dim": attention.valued(ours.width),
        "attention_bias": False,
        "attention_dropout": attention.dropout,
        "rope_parameters": _rope(ours.position, attention.scale, matched),
        "rope_interleave": ours.position.interleaved,
        "first_k_dense_replace": len(dense),
        "hidden_act": THEIR_ACTIVATIONS[(dense or [mixed[0].expert])[0].activation],
        "rms_norm_eps": ours.norm.epsilon,
        "tie_word_embeddings": ours.head.tied,
        "initializer_range": ours.init_std,
        **({"intermediate_size": dense[0].hidden_width(ours.width)} if dense else {}),
        **(_experts(mixed[0], ours.width) if mixed else {}),
    }


def _rope(position: Any, scale: float | None, matched: int) -> dict[str, Any]:
    """A scale of YaRN is told by its mscale, of which one is that of the channels that are turned."""
    theirs = rope.parameters(position)
    if position.scaling != "yarn" or scale is None:
        return theirs
    sharpness, factor = (scale * matched**0.5) ** 0.5, position.factor
    temperature = theirs.pop("attention_factor", rope.sharpened(factor, 1.0))
    theirs["mscale"] = rope.share_of(factor, temperature * sharpness)
    return {**theirs, "mscale_all_dim": rope.share_of(factor, sharpness)}


def _experts(mixture: Any, width: int) -> dict[str, Any]:
    hidden = mixture.expert.hidden_width(width)
    shared = mixture.shared.hidden_width(width) if mixture.shared else hidden
    return {
        "n_routed_experts": mixture.experts,
        "n_shared_experts": max(1, shared // hidden),
        "moe_intermediate_size": hidden,
        "num_experts_per_tok": mixture.top_k,
        "routed_scaling_factor": mixture.scale,
        "norm_topk_prob": mixture.normalise,
        "n_group": mixture.groups,
        "topk_group": mixture.chosen_groups,
    }


#: Theirs to ours, within a layer.
_NAMES = {
    "input_layernorm": "attention_norm",
    "self_attn.kv_a_proj_with_mqa": "attention.key_value_down",
    "self_attn.kv_a_layernorm": "attention.key_value_norm",
    "self_attn.kv_b_proj": "attention.key_value_up",
    "self_attn.o_proj": "attention.out",
    "post_attention_layernorm": "feedforward_norm",
}
_OF_INPUT = {"self_attn.q_proj": "attention.queries"}
_OF_LATENT = {
    "self_attn.q_a_proj": "attention.query_down",
    "self_attn.q_a_layernorm": "attention.query_norm",
    "self_attn.q_b_proj": "attention.queries",
}
_GATED = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"}


def rows(config: Any) -> Iterator[Row]:
    """By the names of files. In memory their class stacks all experts of a layer."""
    yield from tables(config, "model.embed_tokens.weight")
    for layer, block in enumerate(config.layer_blocks()):
        for theirs, ours in _of_layer(block).items():
            yield Row(f"model.layers.{layer}.{theirs}", (f"body.blocks.{layer}.{ours}",))
    yield from norm_rows(config, "model.norm", "body.norm")


def _of_layer(block: Any) -> dict[str, str]:
    """The tensors of one layer, theirs to ours."""
    names = {**_NAMES, **(_OF_INPUT if block.attention.query_latent is None else _OF_LATENT)}
    feedforward = block.feedforward
    places = {"mlp": "feedforward"}
    if feedforward.name == "mixture_of_experts":
        names["mlp.gate"] = "feedforward.router"
        each = {f"mlp.experts.{e}": f"feedforward.experts.{e}" for e in range(feedforward.experts)}
        places = {**each, "mlp.shared_experts": "feedforward.shared"}
    names |= {f"{at}.{n}": f"{our}.{name}" for at, our in places.items() for n, name in _GATED.items()}
    tensors = {f"{theirs}.weight": f"{ours}.weight" for theirs, ours in names.items()}
    if "mlp.gate" in names and feedforward.bias_rate:
        tensors["mlp.gate.e_score_correction_bias"] = "feedforward.router.bias"
    return tensors


DEEPSEEK_V3 = Family(
    parts={
        "attention": "latent",
        "position": "rotary",
        "feedforward": ("gated", "mixture_of_experts"),
        "norm": "rmsnorm",
        "head": "language_model",
    },
    prefix="model.",
    values=values,
    config=config,
    rows=rows,
)
