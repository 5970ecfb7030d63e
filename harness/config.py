"""The Config base: keyword-only dataclasses whose fields say what they mean, set by name and by type.

Hydra composes; below composition a config is plain dataclasses, and this module is the only way from
one to the other. It is strict: an unknown key, a wrong type, a value out of range is a `ConfigError`
that names the place.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, Union

from harness.errors import UserError, suggest

#: The value of a field that has no default (OmegaConf's own marker).
MISSING: Any = "???"

C = TypeVar("C", bound="Config")


class ConfigError(UserError):
    """A config that cannot be: the message names the key and what would be right."""


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    identity: bool | str = True,
    neutral: Any = MISSING,
    choices: tuple[Any, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A field of a Config.

    help: what it is, with its unit. identity: whether it determines a run's result; the name of a field beside it:
    only where that is not neutral. neutral: the value at which the field has no effect, left out of the identity, so
    that a field added later changes no old id. choices, minimum and maximum bound what a user may set.
    """
    bounds = {"choices": choices, "minimum": minimum, "maximum": maximum}
    metadata = {"help": help, "identity": identity, "neutral": neutral, **bounds}
    if isinstance(default, (list, dict)) or dataclasses.is_dataclass(default):
        return dataclasses.field(default_factory=functools.partial(_copy, default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def slot(kind: str, help: str = "", *, identity: bool = True, optional: bool = False) -> Any:
    """A field that holds a plugin's Config of the given kind, looked up by its `name`. An optional one that holds none
    is left out of the identity."""
    neutral = None if optional else MISSING
    metadata = {"help": help, "identity": identity, "neutral": neutral, "kind": kind, "optional": optional}
    return dataclasses.field(default=None if optional else MISSING, metadata=metadata)


def section(config: type, help: str = "", *, identity: bool = True) -> Any:
    """A field that holds a nested Config of a fixed type."""
    metadata = {"help": help, "identity": identity, "neutral": MISSING}
    return dataclasses.field(default_factory=config, metadata=metadata)


def _copy(value: Any) -> Any:
    return dataclasses.replace(value) if dataclasses.is_dataclass(value) else type(value)(value)  # type: ignore[type-var]


@dataclass(kw_only=True)
class Config:
    """Base of every config. Subclasses are ``@dataclass(kw_only=True)``, free of torch, each field an `option`."""

    def check(self) -> None:
        """Raises ConfigError where fields do not fit together. Single fields are checked by their `option`."""


@dataclass(kw_only=True)
class PluginConfig(Config):
    """Base of what a plugin registers. `build(...)` of each kind imports what is heavy and returns the object."""

    #: Raised by a plugin's author when a change of code changes results; part of a run's identity.
    results_version: ClassVar[int] = 1
    #: Options by which it can be tried alone, in tiny, where its defaults do not say enough.
    example: ClassVar[Mapping[str, Any]] = {}

    name: str = option("", "the plugin's name, chosen by group=name")


def from_mapping(cls: type[C], values: Mapping[str, Any], path: str = "", base: C | None = None) -> C:
    """A config of type `cls` with the given values over `base` (or the defaults), strictly by name and type.

    Raises ConfigError for an unknown key, a wrong type, a value out of bounds or one that is missing.
    """
    known = _fields(cls)
    current = {name: getattr(base, name) for name in known} if base is not None else {}
    for key, value in values.items():
        if key == "defaults" and key not in known:  # Hydra's own list, left in the node of a structured config
            continue
        if key not in known:
            raise ConfigError(f"{_at(path, key)} is not an option{_of(cls, values)}. {suggest(key, known)}")
        current[key] = _value(cls, known[key], value, _at(path, key), current.get(key))
    config = cls(**current)
    for name, field in known.items():
        if getattr(config, name) is MISSING or getattr(config, name) == MISSING:
            raise ConfigError(f"{_at(path, name)} has no value: {field.metadata.get('help') or 'set it'}.")
    try:
        config.check()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}" if path and not str(error).startswith(path) else str(error)) from None
    return config


def to_mapping(config: Config) -> dict[str, Any]:
    """The config as plain dicts, lists and scalars; `from_mapping` is its inverse."""
    return {name: _plain(getattr(config, name)) for name in _fields(type(config))}


def replace_at(config: C, path: str, value: Any) -> C:
    """A copy in which the field at a dotted path has another value, checked like any user's."""
    return from_mapping(type(config), _nested(path.split("."), value), base=config)


def fields_of(cls: type[Config]) -> dict[str, dataclasses.Field[Any]]:
    """The options of a config class by name, in order of definition."""
    return dict(_fields(cls))


def slots_of(cls: type[Config]) -> dict[str, str]:
    """By slot, the kind of plugin that it holds."""
    return {name: field.metadata["kind"] for name, field in _fields(cls).items() if "kind" in field.metadata}


def slot_of(key: str) -> str:
    """The slot that a key of a list of defaults fills.

    >>> slot_of("attention"), slot_of("/architecture/feedforward@expert")
    ('attention', 'expert')
    """
    return re.split("[/@]", key)[-1]


def default_parts(cls: type[Config]) -> dict[str, str]:
    """By slot, the plugin that stands there where nothing is said."""
    listed = (entry for entry in getattr(cls(), "defaults", []) if isinstance(entry, dict))
    return {slot_of(key): name for entry in listed for key, name in entry.items() if name}


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    return {keys[0]: value if len(keys) == 1 else _nested(keys[1:], value)}


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return to_mapping(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _of(cls: type[Config], values: Mapping[str, Any]) -> str:
    """Whose options are meant, where a plugin was chosen: others of its kind may have that one."""
    return f" of {values['name']}" if issubclass(cls, PluginConfig) and values.get("name") else ""


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)


def _fields(cls: Any) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(cls) if field.name != "defaults"}


@functools.cache
def _types(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _value(cls: type, field: dataclasses.Field[Any], value: Any, path: str, current: Any) -> Any:
    if "kind" in field.metadata:
        return plugin_config(field.metadata["kind"], value, path, field.metadata["optional"], current)
    value = _typed(_types(cls)[field.name], value, path, current)
    _bounded(field.metadata, value, path)
    return value


def _bounded(meta: Mapping[str, Any], value: Any, path: str) -> None:
    if value is None or value == MISSING:
        return
    if meta.get("choices") and value not in meta["choices"]:
        raise ConfigError(f"{path}={value!r} is not possible. {suggest(value, meta['choices'])}")
    if meta.get("minimum") is not None and value < meta["minimum"]:
        raise ConfigError(f"{path}={value!r} is too small: at least {meta['minimum']}.")
    if meta.get("maximum") is not None and value > meta["maximum"]:
        raise ConfigError(f"{path}={value!r} is too large: at most {meta['maximum']}.")


def plugin_config(kind: str, value: Any, path: str, optional: bool = False, current: Any = None) -> Any:
    """The Config of a plugin of one kind from a mapping with `name`, from its bare name, or as it is."""
    from harness.registry import registry

    if value is None and optional:
        return None
    if isinstance(value, PluginConfig):
        return value
    if isinstance(value, str) and value != MISSING:
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path} has no value: choose one by {kind}=name. {suggest('', registry().names(kind))}")
    name = value.get("name") or (current.name if isinstance(current, PluginConfig) else None)
    if not name:
        raise ConfigError(f"{path} has no name: say which {kind}. {suggest('', registry().names(kind))}")
    base = current if isinstance(current, PluginConfig) and current.name == name else None
    config = registry().get(kind, name)
    parts = default_parts(config) if base is None else {}
    return from_mapping(config, {**parts, **value, "name": name}, path, base)


def _typed(expected: Any, value: Any, path: str, current: Any = None) -> Any:
    if expected is Any or (isinstance(value, str) and value == MISSING):
        return value
    origin, args = typing.get_origin(expected), typing.get_args(expected)
    if origin in (Union, types.UnionType):
        return _of_union(args, value, path)
    if origin in (list, tuple) or expected in (list, tuple):
        return _of_list(args, value, path)
    if origin is dict or expected is dict:
        if not isinstance(value, Mapping):
            raise _mistyped(path, value, "a mapping")
        return {str(key): _typed(args[1] if args else Any, item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(expected, type) and issubclass(expected, Config):
        if isinstance(value, expected):
            return value
        if not isinstance(value, Mapping):
            raise _mistyped(path, value, "a mapping")
        return from_mapping(expected, value, path, current)
    return _scalar(expected, value, path)


def _of_list(args: tuple[Any, ...], value: Any, path: str) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        raise _mistyped(path, value, "a list")
    return [_typed(args[0] if args else Any, item, f"{path}[{index}]") for index, item in enumerate(value)]


def _of_union(args: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in args:
        return None
    last: ConfigError | None = None
    for arg in args:
        if arg is type(None):
            continue
        try:
            return _typed(arg, value, path)
        except ConfigError as error:
            last = error
    assert last is not None
    raise last


def _scalar(expected: type, value: Any, path: str) -> Any:
    if expected is bool and isinstance(value, bool):
        return value
    if expected is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    number = _number(value) if expected in (int, float) else None
    if number is not None and (expected is float or number == int(number)):
        return expected(number)
    wanted = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text"}
    raise _mistyped(path, value, wanted[expected])


def _number(value: Any) -> int | float | None:
    """A finite number, also one that stands as text: YAML reads 1e-3 so."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def _mistyped(path: str, value: Any, wanted: str) -> ConfigError:
    return ConfigError(f"{path}={value!r} is not {wanted}.")
