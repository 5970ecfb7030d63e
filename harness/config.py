"""The Config base: keyword-only dataclasses whose fields say what they mean, set by name and by type.

Hydra composes; below composition a config is plain dataclasses, and this module is the only way from
one to the other. It is strict: an unknown key, a wrong type, a value out of range is a `ConfigError`
that names the place.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar, Union

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
    identity: bool = True,
    neutral: Any = MISSING,
    choices: tuple[Any, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A field of a Config.

    help: what it is, with its unit. identity: whether it determines a run's result. neutral: the value
    at which the field has no effect, left out of the identity, so that a field added later changes
    no old id. choices, minimum and maximum bound what a user may set.
    """
    bounds = {"choices": choices, "minimum": minimum, "maximum": maximum}
    metadata = {"help": help, "identity": identity, "neutral": neutral, **bounds}
    if isinstance(default, (list, dict)) or dataclasses.is_dataclass(default):
        return dataclasses.field(default_factory=functools.partial(_copy, default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def slot(kind: str, help: str = "", *, identity: bool = True, optional: bool = False) -> Any:
    """A field that holds a plugin's Config of the given kind, looked up by its `name`."""
    metadata = {"help": help, "identity": identity, "neutral": MISSING, "kind": kind, "optional": optional}
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
            raise ConfigError(f"{_at(path, key)} is not an option. {suggest(key, known)}")
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
    return from_mapping(registry().get(kind, name), {**value, "name": name}, path, base)


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


# ---------------------------------------------------------------------------------------------- a run


#: What PyTorch's generators take.
SEEDS: dict[str, Any] = {"minimum": 0, "maximum": 2**63 - 1}


@dataclass(kw_only=True)
class SeedConfig(Config):
    """One seed for each source of chance; what is null is `seed`."""

    init: int | None = option(None, "seed of the weights' initialisation; null: seed", **SEEDS)
    data: int | None = option(None, "seed of the order of the data and of choices about it; null: seed", **SEEDS)
    noise: int | None = option(None, "seed of dropout, generation and other noise; null: seed", **SEEDS)


@dataclass(kw_only=True)
class DataConfig(Config):
    """How tokens become batches."""

    sequence_length: int = option(128, "tokens in one sequence", minimum=1)
    batch_size: int = option(8, "sequences in one optimizer step, over all devices", minimum=1)
    attend_across_documents: bool = option(True, "whether attention crosses documents packed into one sequence")
    held_out: float = option(0.05, "share of documents held out, by hash of their text", minimum=0.0, maximum=0.9)
    workers: int = option(0, "processes that prepare batches; 0: the training process", identity=False, minimum=0)


@dataclass(kw_only=True)
class BudgetConfig(Config):
    """How long to train. `tokens` wins where both are set; both are rounded up to whole steps."""

    tokens: int | None = option(None, "training tokens; null: from tokens_per_parameter", minimum=1, maximum=10**15)
    tokens_per_parameter: float = option(
        20.0, "training tokens for each parameter (all of them)", minimum=0.0, maximum=1e6
    )


@dataclass(kw_only=True)
class ScaleConfig(Config):
    """The one number of a ladder's rung; conf/scale/ says what follows from it."""

    width: int | None = option(None, "width of the rung, in channels", minimum=1)
    width_per_layer: int = option(16, "channels of width for each layer", minimum=1)
    width_per_head: int = option(16, "channels of width for each attention head", minimum=1)
    lr_times_width: float = option(0.48, "peak learning rate times width", minimum=0.0)
    init_std_times_root_width: float = option(
        0.5, "standard deviation of matrices at the start times √width", minimum=0.0
    )


@dataclass(kw_only=True)
class TrainerConfig(Config):
    """How the run is carried out."""

    precision: str = option(
        "fp32", "fp32; bf16: bfloat16 autocast, float32 weights; bf16-true: all bfloat16",
        choices=("fp32", "bf16", "bf16-true"),
    )  # fmt: skip
    gradient_clip: float | None = option(1.0, "largest global norm of the gradient; null: no clipping", minimum=0.0)
    micro_batch: int | None = option(None, "sequences in one forward pass; null: the batch", identity=False, minimum=1)
    accelerator: str = option("auto", "auto, cpu or gpu", identity=False, choices=("auto", "cpu", "gpu"))
    threads: int = option(1, "CPU threads of one process", identity=False, minimum=1)
    deterministic: bool = option(True, "deterministic algorithms only", identity=False)
    log_every: int = option(10, "steps between two lines of metrics.jsonl", identity=False, minimum=1)
    checkpoints: int = option(
        10, "checkpoints in a run, evenly spaced; the last is the result", identity=False, minimum=1
    )
    keep: int = option(2, "newest checkpoints that are kept", identity=False, minimum=1)


@dataclass(kw_only=True)
class LauncherConfig(Config):
    """Where several runs are carried out."""

    name: str = option("local", "the launcher's name", identity=False)
    workers: int | None = option(None, "runs side by side; null: one for each core or GPU", identity=False, minimum=1)


@dataclass(kw_only=True)
class RunConfig(Config):
    """Everything about one run. One composed RunConfig is one model; its identity is what determines the result."""

    corpus: Any = slot("corpus", "the documents", identity=False)  # its content's hash stands for it
    tokenizer: Any = slot("tokenizer", "documents to tokens")
    data: DataConfig = section(DataConfig, "tokens to batches")
    architecture: Any = slot("architecture", "the model")
    scale: ScaleConfig = section(ScaleConfig, "the rung of a ladder", identity=False)
    method: Any = slot("objective", "what turns data and model into a loss")
    optimizer: Any = slot("optimizer", "how gradients become updates")
    schedule: Any = slot("schedule", "the learning rate over the run")
    budget: BudgetConfig = section(BudgetConfig, "how long to train", identity=False)  # the steps stand for it
    trainer: TrainerConfig = section(TrainerConfig, "how the run is carried out")
    seed: int = option(0, "the seed of everything that seeds leaves null", identity=False, **SEEDS)
    seeds: SeedConfig = section(SeedConfig, "a seed for each source of chance")
    suite: Any = slot("suite", "the tasks that score the model", identity=False, optional=True)
    launcher: LauncherConfig = section(LauncherConfig, "where several runs are carried out", identity=False)
    runs: str = option("./runs", "folder of the run directories", identity=False)
    reuse: str = option(
        "same", "same: reuse a finished run only if the code that made it is the same; any: reuse it anyway",
        identity=False, choices=("same", "any"),
    )  # fmt: skip
    retrain: bool = option(False, "train again; the old run directory is moved aside", identity=False)

    def check(self) -> None:
        if not self.runs.strip():
            raise ConfigError("runs is empty: name a folder for the run directories, such as runs=./runs.")

    def with_seeds(self) -> Self:
        """The config with every seed spelled out."""
        own = {f: getattr(self.seeds, f) for f in _fields(SeedConfig)}
        seeds = SeedConfig(**{name: self.seed if value is None else value for name, value in own.items()})
        return dataclasses.replace(self, seeds=seeds)


# --------------------------------------------------------------------------------------- other verbs


@dataclass(kw_only=True)
class ScoreConfig(Config):
    """What `harness score` takes."""

    run: str = option(MISSING, "id or folder of the run, as run=<id>")
    suite: Any = slot("suite", "the tasks")
    checkpoint: int | None = option(None, "step of the checkpoint; null: the last", minimum=1)
    runs: str = option("./runs", "folder of the run directories")


@dataclass(kw_only=True)
class FitConfig(Config):
    """What `harness fit` takes."""

    analysis: Any = slot("analysis", "the law")
