"""A tiny Config of any plugin, also of one that was never seen before: its defaults, made small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.config import Config, ConfigError, PluginConfig, fields_of, plugin_config
from harness.registry import registry

#: Options that say how large something is, by the names that they have in the field, and what is small. What is smaller
#: already stays, and so does what follows from others, being null.
SMALL = {
    "width": 16,
    "layers": 2,
    "encoder_layers": 2,
    "heads": 2,
    "attention_heads": 2,
    "channels": 8,
    "hidden": 24,
    "state": 8,
    "chunk": 4,
    "length": 64,
    "latent": 8,
    "turned_channels": 4,
    "rank": 4,
    "decay_rank": 4,
    "experts": 4,
    "offsets": 2,
}


def tiny(kind: str, name: str, **chosen: Any) -> Any:
    """The Config of a plugin as it stands, made small, with its `example` and some options chosen. Raises ConfigError
    where that is not enough."""
    of: type[PluginConfig] = registry().get(kind, name)
    small = shrunk(plugin_config(kind, {**of.example, "name": name}, kind))
    return plugin_config(kind, {"name": name, **_options(small), **chosen}, kind)


def shrunk(config: PluginConfig) -> PluginConfig:
    """With its parts; a Config that refuses to be so small stays as it is."""
    options = _options(config)
    small: dict[str, Any] = {name: shrunk(value) for name, value in options.items() if isinstance(value, PluginConfig)}
    small |= {name: min(options[name], SMALL[name]) for name in SMALL if type(options.get(name)) is int}
    changed = replace(config, **small)
    try:
        changed.check()
    except ConfigError:
        return config
    return changed


def _options(config: Config) -> dict[str, Any]:
    return {name: getattr(config, name) for name in fields_of(type(config)) if name != "name"}
