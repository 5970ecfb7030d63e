"""LoRA by `peft`, on any model that is made of Linear modules. peft is imported where a model is adapted: it brings
transformers along, which a plan does not need."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase

from torch import nn

from harness.config import ConfigError
from harness.errors import suggest
from harness.interfaces.adapter import AdapterCounts
from harness.models.blocks import blocks
from harness.models.load import given
from harness_plugins.adapter.lora import LoraConfig

#: The name that peft puts into those of the adapter's parameters.
ADAPTER = "default"


def targets(config: LoraConfig, model: nn.Module) -> dict[str, nn.Linear]:
    """The matrices of the body that are adapted, by the names of their modules: those that the config names, or all of
    the layers (of the whole body, where it does not say what its layers are). One that several modules share is none.

    Raises ConfigError for a pattern that names none, and where there is none.
    """
    uses = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    own = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and uses[id(module.weight)] == 1 and name.startswith("body.")
    }
    if config.targets:
        return _named(config.targets, own)
    within = {id(module) for layer in blocks(model) or [model.get_submodule("body")] for module in layer.modules()}
    found = {name: module for name, module in own.items() if id(module) in within}
    if not found:
        raise ConfigError("adapter=lora: the layers of this architecture have no Linear matrices that it could adapt.")
    return found


def _named(patterns: list[str], own: dict[str, nn.Linear]) -> dict[str, nn.Linear]:
    """A pattern may name a module, or its weight as `optimizer.frozen` would."""
    found = {pattern: {name for name in own if _matches(name, pattern)} for pattern in patterns}
    for pattern, names in found.items():
        if not names:
            raise ConfigError(
                f"adapter.targets: no Linear matrix of the body is named {pattern}. {suggest(pattern, own)}"
            )
    return {name: module for name, module in own.items() if any(name in names for names in found.values())}


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(f"{name}.weight", pattern)


def counts(config: LoraConfig, model: nn.Module) -> AdapterCounts:
    """Kept are A's results and, where there is dropout, what A sees and which of it was dropped."""
    found = targets(config, model)
    rank, share = config.rank, {name: given(model, name) for name in found}
    ranks = sum(share[name] * rank for name in found)
    seen, made = (sum(share[name] * getattr(module, channels) for name, module in found.items())
                  for channels in ("in_features", "out_features"))  # fmt: skip
    return AdapterCounts(
        parameters=rank * sum(module.in_features + module.out_features for module in found.values()),
        activations=round(ranks + (2 * seen if config.dropout else 0)),
        products=round(ranks + made),
        flops=2 * rank * (seen + made),
        reads={name: 2 * rank * share[name] * module.in_features for name, module in found.items()},
    )


def adapt(config: LoraConfig, model: nn.Module) -> list[str]:
    """A is drawn as peft draws it (uniform, by Kaiming's rule), B is zero."""
    names = targets(config, model)
    with _quiet():
        import peft
        from peft.tuners.lora import LoraLayer

        options = peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,  # type: ignore[arg-type]  # a factor, whatever the annotation says
            lora_dropout=config.dropout,
            use_rslora=config.rank_stabilised,
            target_modules="|".join(map(re.escape, names)),
        )
        peft.inject_adapter_in_model(options, model, ADAPTER)
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False  # autocast sees to it, without a copy in float32
    return [name for name, _ in model.named_parameters() if f".{ADAPTER}." in name]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """peft looks for torchao, which tells of kernels for other machines when it is imported."""
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def merge(model: nn.Module) -> None:
    from peft.tuners.lora import LoraLayer

    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    for name, layer in layers.items():
        layer.merge()
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer.get_base_layer())
    del model.peft_config
