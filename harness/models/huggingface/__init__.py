"""Weights and configs from and to `transformers`, family by family. Nothing of `transformers` is imported.

Ours: the state dict of a `Model` and the Config of its architecture.
Theirs: tensors by the names that the files of a folder have, each once however many names it has in
`GPT2LMHeadModel`, `LlamaForCausalLM`, …, and the config as a mapping (``config.to_dict()``).
Whole folders are read and written by `harness.models.huggingface.folder`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from harness.config import plugin_config
from harness.errors import UserError, suggest
from harness.models.huggingface.bart import BART
from harness.models.huggingface.bert import BERT
from harness.models.huggingface.bloom import BLOOM
from harness.models.huggingface.deberta_v2 import DEBERTA_V2
from harness.models.huggingface.deepseek_v2 import DEEPSEEK_V2
from harness.models.huggingface.deepseek_v3 import DEEPSEEK_V3
from harness.models.huggingface.falcon import FALCON
from harness.models.huggingface.family import Family, Row
from harness.models.huggingface.gemma2 import GEMMA2
from harness.models.huggingface.gpt2 import GPT2
from harness.models.huggingface.gpt_neox import GPT_NEOX
from harness.models.huggingface.llama import LLAMA
from harness.models.huggingface.mamba2 import MAMBA2
from harness.models.huggingface.mistral import MISTRAL
from harness.models.huggingface.mixtral import MIXTRAL
from harness.models.huggingface.mpt import MPT
from harness.models.huggingface.mt5 import MT5
from harness.models.huggingface.phi3 import PHI3
from harness.models.huggingface.qwen2 import QWEN2
from harness.models.huggingface.roberta import ROBERTA
from harness.models.huggingface.rwkv import RWKV
from harness.models.huggingface.starcoder2 import STARCODER2
from harness.models.huggingface.t5 import T5

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]

#: What can be told both ways, by their `model_type`. Of several that compute the same, the first is written where
#: nobody says which.
FAMILIES: dict[str, Family] = {
    "gpt2": GPT2,
    "gpt_neox": GPT_NEOX,
    "gemma2": GEMMA2,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "qwen2": QWEN2,
    "mixtral": MIXTRAL,
    "phi3": PHI3,
    "starcoder2": STARCODER2,
    "falcon": FALCON,
    "bloom": BLOOM,
    "mpt": MPT,
    "bert": BERT,
    "roberta": ROBERTA,
    "deberta-v2": DEBERTA_V2,
    "deepseek_v3": DEEPSEEK_V3,
    "deepseek_v2": DEEPSEEK_V2,
    "mamba2": MAMBA2,
    "rwkv": RWKV,
    "t5": T5,
    "mt5": MT5,
    "bart": BART,
}


def config_from_transformers(theirs: Mapping[str, Any]) -> Any:
    """The Config of the architecture that makes the same model.

    Raises UserError for a model type, or an option of one, that has no counterpart here.
    """
    family = _family(theirs.get("model_type"), "taken from")
    return plugin_config("architecture", {"name": family.architecture, **family.values(theirs)}, "architecture")


def told(config: Any, vocabulary: int, model_type: str | None = None) -> tuple[dict[str, Any], str]:
    """Their config, as `config_to_transformers` gives it, and the objective that such a model is trained by. An
    architecture that tells itself is of one model type."""
    own = config.interchange()
    if own is None:
        theirs = config_to_transformers(config, vocabulary, model_type)
        return theirs, FAMILIES[theirs["model_type"]].objective
    theirs = own.told(vocabulary)
    if model_type not in (None, theirs["model_type"]):
        raise UserError(f"This model is a {theirs['model_type']} of transformers and no {model_type}: leave it out.")
    return theirs, own.objective


def config_to_transformers(config: Any, vocabulary: int, model_type: str | None = None) -> dict[str, Any]:
    """Their config, as ``config.json`` has it. model_type: which of theirs; None: the first that computes the same.

    Raises UserError where their classes cannot express the architecture.
    """
    families = _families(config) if model_type is None else [_family(model_type, "written for")]
    differences = []
    for family in families:
        if not _made_of(config, family):
            raise UserError(f"{model_type} of transformers is made of {_told(family)}, and this architecture is not.")
        theirs = {**family.config(config), "vocab_size": vocabulary}
        here, there = _computes(config), _computes(config_from_transformers(theirs))
        different = next((name for name in {**here, **there} if here.get(name) != there.get(name)), None)
        if different is None:
            return theirs
        alike = config.layer_blocks()[0] is config
        told = different.removeprefix("blocks[0].") if alike else different
        differences.append(
            f"architecture.{told}={here.get(different)} is {there.get(different)} in its {theirs['model_type']}"
        )
    raise UserError(f"This architecture cannot be told to transformers: {', and '.join(differences)}.")


def state_from_transformers(theirs: Tensors, config: Any, model_type: str | None = None) -> dict[str, torch.Tensor]:
    """Our state dict from theirs; `config` is the architecture's, as `config_from_transformers` gives it. model_type:
    of theirs; None: the first that computes the same.

    Raises UserError for a tensor that is missing, left over or of another shape than the config says, and for one of
    several names whose values differ.
    """
    import torch

    from harness.models.meta import build_on_meta

    family = _family(model_type or model_type_of(config), "taken from")
    model = build_on_meta(config, config.vocabulary)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    rows = list(family.rows(config))
    theirs = _prefixed({_renamed(name, family): tensor for name, tensor in theirs.items()}, family, rows)
    left = {name for name in theirs if not name.endswith(family.buffers)}
    ours: dict[str, torch.Tensor] = {}
    for row in rows:
        given = [name for name in (row.theirs, *row.also) if name in theirs]
        if not given:
            raise UserError(f"The weights have no {row.theirs}, which a model of this config has.")
        for other in given[1:]:
            if not torch.equal(theirs[given[0]], theirs[other]):
                raise UserError(f"{given[0]} and {other} differ, and are one tensor in a model of this config.")
        ours |= row.split(theirs[given[0]], shapes)
        left -= {row.theirs, *row.also}
    if left:
        raise UserError(f"The weights have {min(left)}, for which a model of this config has no place.")
    return ours | {name: ours[first] for name, first in _shared(model)}


def state_to_transformers(ours: Tensors, config: Any, model_type: str | None = None) -> dict[str, torch.Tensor]:
    """Their tensors from our state dict: the inverse of `state_from_transformers`."""
    family = _family(model_type or model_type_of(config), "written for")
    return {row.theirs: row.join(ours) for row in family.rows(config)}


def model_type_of(config: Any) -> str:
    """The first of their model types that computes the same. Raises UserError where there is none."""
    model_type: str = config_to_transformers(config, 1)["model_type"]
    return model_type


def _renamed(name: str, family: Family) -> str:
    ending = next((ending for ending in family.renamed if name.endswith(ending)), "")
    return name.removesuffix(ending) + family.renamed.get(ending, "")


def _prefixed(theirs: Tensors, family: Family, rows: list[Row]) -> Tensors:
    """Their tensors by the names that they have in a whole model. A checkpoint of the body alone, as GPT-2's own, has
    no prefix."""
    if any(name.startswith(family.prefix) for name in theirs):
        return theirs
    outside = {row.theirs for row in rows if not row.theirs.startswith(family.prefix)}
    outside |= {name for row in rows for name in row.also}
    return {name if name in outside else family.prefix + name: tensor for name, tensor in theirs.items()}


def _shared(model: Any) -> Iterator[tuple[str, str]]:
    """Each further name of a tensor of ours that has several, and its first."""
    first: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if first.setdefault(id(parameter), name) != name:
            yield name, first[id(parameter)]


#: Options that do not change what a model computes once its weights are there.
_NO_MATTER = (
    "vocabulary",
    "dropout",
    "embedding_dropout",
    "residual_dropout",
    "position_dropout",
    "init_std",
    "init_scale_residual",
)


def _family(model_type: Any, done: str) -> Family:
    if model_type not in FAMILIES:
        raise UserError(f"model_type={model_type} cannot be {done} transformers. {suggest(str(model_type), FAMILIES)}")
    return FAMILIES[model_type]


def _families(config: Any) -> list[Family]:
    """The model types that are made of the same parts in every layer."""
    found = [family for family in FAMILIES.values() if _made_of(config, family)]
    if not found:
        known = "; ".join(dict.fromkeys(map(_told, FAMILIES.values())))
        raise UserError(f"No model of transformers is made of this architecture's parts. Known are {known}.")
    return found


def _told(family: Family) -> str:
    parts = [kind if name is True else " or ".join(_names(name)) for kind, name in family.parts.items()]
    return f"{family.architecture} ({', '.join(parts)})" if parts else family.architecture


def _made_of(config: Any, family: Family) -> bool:
    if config.name != family.architecture:
        return False
    return all(_has(layer, kind) in _names(family.parts[kind])
               for layer in (config, *config.layer_blocks()) for kind in family.parts)  # fmt: skip


def _has(config: Any, kind: str) -> Any:
    """The name of a part of a config, or the value of an option that is none."""
    value = getattr(config, kind)
    return getattr(value, "name", value)


def _names(wanted: Any) -> tuple[Any, ...]:
    return wanted if isinstance(wanted, tuple) else (wanted,)


def _computes(config: Any) -> dict[str, Any]:
    """What determines the logits, flat."""
    return {name: value for name, value in _flat(config.computes(), "") if name.split(".")[-1] not in _NO_MATTER}


def _flat(values: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value
