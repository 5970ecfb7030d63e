"""The parts of a transformer: each is tested inside a tiny one, and by what its kind alone promises."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.config import ConfigError, plugin_config
from harness.interfaces.architecture import ArchitectureConfig
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


def incomplete(whole: ArchitectureConfig) -> str | None:
    """Whether the module of a transformer's attention lacks what is called of it, which would be found when it is
    needed."""
    module = build(whole).body.layers()[-1].attention  # type: ignore[attr-defined]
    for name, told in CALLED.items():
        if not callable(getattr(module, name, None)):
            return f"{type(module).__name__}, the module of an attention, has no {told}."
    return None


def divides_wrongly(whole: ArchitectureConfig, most: int = 6) -> str | None:
    """Whether every number of heads either computes or is refused by a ConfigError of the attention's `head_width` or
    of a Config's `check`, before anything is built. With its position and without, since some refuse widths of heads,
    too."""
    for heads in range(1, most):
        for position in (whole.position, plugin_config("position", "none", "position")):  # type: ignore[attr-defined]
            try:
                attention = replace(whole.attention, heads=heads)  # type: ignore[attr-defined]
                attention.check()
                changed = replace(whole, attention=attention, position=position)  # type: ignore[call-arg]
                changed.check()
            except ConfigError:
                continue
            try:
                hidden(build(changed), tokens(), simplest(changed))
            except Exception as error:
                return (
                    f"heads={heads} does not fit width={WIDTH}, and head_width raises no ConfigError that says so; the "
                    f"model fails when it is built or asked: {type(error).__name__}: {error}"
                )
    return None
