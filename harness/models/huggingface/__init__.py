"""Weights and configs from and to `transformers`, family by family. Nothing of `transformers` is imported.

Ours: the state dict of a `Model` and the Config of its architecture, the transformer.
Theirs: the state dict of `GPT2LMHeadModel`, `LlamaForCausalLM`, …, and its config as a mapping (``config.to_dict()``).
Whole folders are read and written by `harness.models.huggingface.folder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.config import plugin_config, to_mapping
from harness.errors import UserError, suggest
from harness.models.huggingface.family import OUR_HEAD, OUR_TOKENS, THEIR_HEAD, Family
from harness.models.huggingface.gemma2 import GEMMA2
from harness.models.huggingface.gpt2 import GPT2
from harness.models.huggingface.gpt_neox import GPT_NEOX
from harness.models.huggingface.llama import LLAMA
from harness.models.huggingface.mistral import MISTRAL
from harness.models.huggingface.qwen2 import QWEN2

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]

#: What can be told both ways, by their `model_type`. Of several that compute the same, the first is written, and of
#: several that fit, the first has the names: one that asks for more stands before one that asks for less.
FAMILIES: dict[str, Family] = {
    "gpt2": GPT2,
    "gpt_neox": GPT_NEOX,
    "gemma2": GEMMA2,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "qwen2": QWEN2,
}


def config_from_transformers(theirs: Mapping[str, Any]) -> Any:
    """The Config of the architecture that makes the same model.

    Raises UserError for a model type, or an option of one, that has no counterpart here.
    """
    model_type = theirs.get("model_type")
    if model_type not in FAMILIES:
        raise UserError(
            f"model_type={model_type} cannot be taken from transformers. {suggest(str(model_type), FAMILIES)}"
        )
    return plugin_config("architecture", {"name": "transformer", **FAMILIES[model_type].values(theirs)}, "architecture")


def config_to_transformers(config: Any, vocabulary: int) -> dict[str, Any]:
    """Their config, as ``config.json`` has it. Raises UserError where their classes cannot express the architecture."""
    differences = []
    for family in _families(config):
        theirs = {**family.config(config), "vocab_size": vocabulary, "initializer_range": config.init_std}
        here, there = _computes(config), _computes(config_from_transformers(theirs))
        different = next((name for name in here if here[name] != there.get(name)), None)
        if different is None:
            return theirs
        told = different if config.pattern else different.removeprefix("blocks[0].")
        differences.append(
            f"architecture.{told}={here[different]} is {there.get(different)} in its {theirs['model_type']}"
        )
    raise UserError(f"This architecture cannot be told to transformers: {', and '.join(differences)}.")


def state_from_transformers(theirs: Tensors, config: Any) -> dict[str, torch.Tensor]:
    """Our state dict from theirs; `config` is the architecture's, as `config_from_transformers` gives it.

    Raises UserError for a tensor that is missing, left over or of another shape than the config says.
    """
    from harness.models.meta import build_on_meta

    family = _families(config)[0]
    theirs = {_RENAMED.get(name, name): tensor for name, tensor in theirs.items()}
    if family.tokens not in theirs:  # a checkpoint of the body alone, as GPT-2's own
        theirs = {name if name == THEIR_HEAD else family.prefix + name: tensor for name, tensor in theirs.items()}
    left = {name for name in theirs if not name.endswith(_BUFFERS)}
    shapes = {name: tensor.shape for name, tensor in build_on_meta(config, config.vocabulary).state_dict().items()}
    ours: dict[str, torch.Tensor] = {}
    for row in family.rows(config):
        if row.theirs not in theirs:
            raise UserError(f"The weights have no {row.theirs}, which a model of this config has.")
        stacked = theirs[row.theirs].T if row.transposed else theirs[row.theirs]
        rows = [shapes[name][0] for name in row.ours]
        if stacked.shape != (sum(rows), *shapes[row.ours[0]][1:]):
            raise UserError(f"{row.theirs} has another shape than the config says: {tuple(theirs[row.theirs].shape)}.")
        if row.heads:
            stacked = stacked.unflatten(0, (row.heads, len(row.ours), -1)).transpose(0, 1).flatten(0, 2)
        ours |= {name: piece.contiguous() for name, piece in zip(row.ours, stacked.split(rows), strict=True)}
        left.discard(row.theirs)
    if config.head.tied:
        ours[OUR_HEAD] = ours[OUR_TOKENS]
        left.discard(THEIR_HEAD)
    if left:
        raise UserError(f"The weights have {min(left)}, for which a model of this config has no place.")
    return ours


def state_to_transformers(ours: Tensors, config: Any) -> dict[str, torch.Tensor]:
    """Their state dict from ours: the inverse of `state_from_transformers`."""
    import torch

    family = _families(config)[0]
    theirs: dict[str, torch.Tensor] = {}
    for row in family.rows(config):
        stacked = torch.cat([ours[name] for name in row.ours]) if len(row.ours) > 1 else ours[row.ours[0]]
        if row.heads:
            stacked = stacked.unflatten(0, (len(row.ours), row.heads, -1)).transpose(0, 1).flatten(0, 2)
        theirs[row.theirs] = (stacked.T if row.transposed else stacked).contiguous()
    if config.head.tied:
        theirs[THEIR_HEAD] = theirs[family.tokens]
    return theirs


#: What old checkpoints hold beside their parameters.
_BUFFERS = (
    ".attn.bias",
    ".attn.masked_bias",
    ".rotary_emb.inv_freq",
    ".attention.bias",
    ".attention.masked_bias",
)

#: What old checkpoints call what has another name now.
_RENAMED = {"embed_out.weight": THEIR_HEAD}

#: Options that do not change what a model computes once its weights are there.
_NO_MATTER = ("vocabulary", "dropout", "embedding_dropout", "residual_dropout", "init_std", "init_scale_residual")


def _families(config: Any) -> list[Family]:
    """The model types that are made of the same parts in every layer; their tensors have the same names."""
    found = [family for family in FAMILIES.values() if _made_of(config, family.parts)]
    if not found:
        known = (f"{name} ({', '.join(family.parts.values())})" for name, family in FAMILIES.items())
        raise UserError(f"No model of transformers is made of this architecture's parts. Known are {'; '.join(known)}.")
    return found


def _made_of(config: Any, parts: Mapping[str, str]) -> bool:
    return _parts(config, parts) == parts and all(_parts(layer, parts) == parts for layer in config.layer_blocks())


def _parts(config: Any, kinds: Iterable[str]) -> dict[str, str | None]:
    chosen = {kind: getattr(config, kind, None) for kind in kinds}
    return {kind: getattr(value, "name", value) for kind, value in chosen.items()}


def _computes(config: Any) -> dict[str, Any]:
    """What determines the logits, flat and layer by layer, with the options that stand for others resolved."""
    blocks = {f"blocks[{layer}]": _block(block) for layer, block in enumerate(config.layer_blocks())}
    whole = {**to_mapping(config), "final_norm": config.ends_normed, **blocks}
    left_out = ("attention", "feedforward", "blocks", "pattern")
    values = _flat({name: value for name, value in whole.items() if name not in left_out}, "")
    return {name: value for name, value in values if name.split(".")[-1] not in _NO_MATTER}


def _block(block: Any) -> dict[str, Any]:
    attention, feedforward, width = block.attention, block.feedforward, block.width
    channels = attention.head_width(width)
    resolved = {
        "channels": channels,
        "key_value_heads": attention.shared_heads,
        "out_bias": attention.biased_out,
        "scale": channels**-0.5 if attention.scale is None else attention.scale,
    }
    hidden = {"hidden": feedforward.hidden_width(width), "multiple": None, "rounding": None}
    return {
        "attention": {**to_mapping(attention), **resolved},
        "feedforward": {**to_mapping(feedforward), **hidden},
        "norm": to_mapping(block.norm),
    }


def _flat(values: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value
