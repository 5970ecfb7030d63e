"""The parts of a transformer: each is tested inside a tiny one, and by what its kind alone promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.config import ConfigError, plugin_config
from harness.interfaces.architecture import ArchitectureConfig
from harness.interfaces.parts import AttentionConfig
from harness.models.position import Position
from harness.testing.models import build, hidden, simplest, tokens

WIDTH, LAYERS, HEADS = 16, 2, 2

#: What stands in the tiny transformer where the tested part does not.
PARTS = {
    "attention": {"name": "multi_head", "heads": HEADS},
    "position": "rotary",
    "feedforward": {"name": "gated", "hidden": 24},
    "norm": "rmsnorm",
    "head": "language_model",
}


def in_transformer(**parts: Any) -> ArchitectureConfig:
    """A tiny transformer with these parts, by kind: Configs, names, or mappings. Needs the first-party plugins."""
    tiny = {"name": "transformer", "width": WIDTH, "layers": LAYERS}
    config: ArchitectureConfig = plugin_config("architecture", {**tiny, **PARTS, **parts}, "architecture")
    return config


#: What a transformer calls of the module that an attention builds.
CALLED = {
    "forward": "forward(hidden_BTC, positions, seen, state) → (hidden_BTC, state)",
    "lower": "lower(view) → what forward is told of the visibility",
    "start": "start(batch, length) → an empty decoding state",
}


def incomplete(config: AttentionConfig) -> str | None:
    """Whether the module of an attention lacks what a transformer calls, which would be found when it is needed."""
    module = config.build(WIDTH, Position())
    for name, told in CALLED.items():
        if not callable(getattr(module, name, None)):
            return f"{type(module).__name__}, the module of an attention, has no {told}."
    return None


def divides_wrongly(config: AttentionConfig, most: int = 6) -> str | None:
    """Whether every number of heads either computes or is refused by a ConfigError of `head_width` or of the Config
    itself, before anything is built."""
    for heads in range(1, most):
        try:
            changed = replace(config, heads=heads)
            changed.check()
            changed.head_width(WIDTH)
            whole = in_transformer(attention=changed, position="none")
        except ConfigError:
            continue
        try:
            hidden(build(whole), tokens(), simplest(whole))
        except Exception as error:
            return (
                f"heads={heads} does not fit width={WIDTH}, and head_width raises no ConfigError that says so; the "
                f"model fails when it is built or asked: {type(error).__name__}: {error}"
            )
    return None
