"""Configs and classes of `transformers`, by model type."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.config import ConfigError
from harness.errors import suggest
from harness_plugins.architecture.hf import CAUSAL, MASKED, SEQUENCE_TO_SEQUENCE
from harness_plugins.architecture.hf.seen import UNFIT

if TYPE_CHECKING:
    from harness_plugins.architecture.hf import HuggingFaceConfig

#: What a config.json says of the file, of tokens, and of what a call returns, and not of the model.
_BESIDE = frozenset(
    """
    model_type vocab_size architectures transformers_version dtype torch_dtype use_cache return_dict problem_type
    output_attentions output_hidden_states id2label label2id is_encoder_decoder
    """.split()  # noqa: SIM905
)
#: Those whose positions begin behind that of padding.
_AFTER_PADDING = frozenset(
    {"camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"}
)


def forms(model_type: str) -> list[str]:
    """The language models that it has: what it was first made for before what was made of it later. Half of an
    encoder–decoder is none."""
    found = [form for form, names in _classes().items() if model_type in names]
    return found[:1] if SEQUENCE_TO_SEQUENCE in found else found


@functools.cache
def _classes() -> dict[str, Mapping[str, str]]:
    """By form, the name of the class of each model type."""
    from transformers.models.auto import modeling_auto as auto

    found = {
        SEQUENCE_TO_SEQUENCE: auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        MASKED: auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        CAUSAL: auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    }
    return {form: {name: of for name, of in names.items() if name not in UNFIT} for form, names in found.items()}


def form_in(found: Mapping[str, Any]) -> str | None:
    """That of the class which a config.json names; None: it names none."""
    model_type, named = found.get("model_type", ""), found.get("architectures") or []
    return next((form for form in forms(model_type) if _classes()[form][model_type] in named), None)


def options_in(model_type: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a config.json that its class knows: files hold others from long ago."""
    if not forms(model_type):
        return {}
    known = _known(model_type)
    return {key: value for key, value in found.items() if key in known and not _is_default(model_type, key, value)}


def _is_default(model_type: str, key: str, value: Any) -> bool:
    """So that a file which spells all options out says no more than one which names a few."""
    return bool(_defaults(model_type).to_dict().get(key, value is not None) == value)


def _known(model_type: str) -> frozenset[str]:
    """The names of its options."""
    of = _defaults(model_type)
    names = {*of.to_dict(), *type(of).attribute_map, *inspect.signature(type(of)).parameters}
    return frozenset(name for name in names if name not in _BESIDE and not name.startswith("_"))


@functools.cache
def _defaults(model_type: str) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]()


def check(config: HuggingFaceConfig) -> None:
    """Raises ConfigError for a model type that has no language model, an option that it has not, a value that cannot
    be."""
    known = forms(config.model_type)
    if not known:
        names = [name for mapping in _classes().values() for name in mapping]
        raise ConfigError(
            f"model_type={config.model_type} cannot be taken from transformers, which has no such language "
            f"model. {suggest(config.model_type, names)}"
        )
    if config.chosen not in known:
        raise ConfigError(f"model_type={config.model_type} has no form={config.form}: it is {' or '.join(known)}.")
    options = _known(config.model_type)
    for key in config.values:
        if key not in options:
            raise ConfigError(f"values.{key} is no option of {config.model_type}. {suggest(key, sorted(options))}")
    made(config)


def made(config: HuggingFaceConfig, vocabulary: int | None = None) -> Any:
    """Their config. Raises ConfigError where it cannot be."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    values = dict(config.values)
    if vocabulary is not None:
        values["vocab_size"] = vocabulary
        if (
            values.get("pad_token_id") or getattr(_defaults(config.model_type), "pad_token_id", None) or 0
        ) >= vocabulary:
            values["pad_token_id"] = 0  # that of the released tokenizer is no row of this table
    try:
        theirs = CONFIG_MAPPING[config.model_type](**values)
    except Exception as error:  # whatever a class of theirs says of its options
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(f"transformers makes no {config.model_type} of these values: {reason}.") from None
    if hasattr(theirs, "text_config"):
        raise ConfigError(
            f"model_type={config.model_type} is more than text, which alone is {theirs.text_config.model_type}."
        )
    if config.chosen == CAUSAL and MASKED in forms(config.model_type):
        theirs.is_decoder = True  # or its causal class would see what comes behind
    theirs.architectures = [_classes()[config.chosen][config.model_type]]
    return theirs


def maximum_length(config: HuggingFaceConfig) -> int | None:
    """In tokens."""
    found = getattr(made(config), "max_position_embeddings", None)
    return found - first_position(config) if isinstance(found, int) and found > 0 else None


def first_position(config: HuggingFaceConfig) -> int:
    """The number of the first position: families of RoBERTa count from behind that of padding."""
    return int(made(config).pad_token_id) + 1 if config.model_type in _AFTER_PADDING else 0


def class_of(config: HuggingFaceConfig) -> Any:
    """The class of its language model."""
    import transformers

    return getattr(transformers, _classes()[config.chosen][config.model_type])


def build(config: HuggingFaceConfig, vocabulary: int) -> Any:
    """Their model, initialised as they do. Attention is PyTorch's own where they know it."""
    import torch

    of = class_of(config)
    attention = "sdpa" if getattr(of, "_supports_sdpa", False) else "eager"
    try:
        return of._from_config(made(config, vocabulary), dtype=torch.float32, attn_implementation=attention)
    except Exception as error:  # whatever a class of theirs says of sizes that do not fit
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(f"transformers builds no {config.model_type} of these values: {reason}.") from None


def masks(config: HuggingFaceConfig) -> bool:
    """Whether all its layers are attention that is whole or has a window."""
    kinds = getattr(made(config), "layer_types", None) or ()
    return set(kinds) <= {"full_attention", "sliding_attention"}
