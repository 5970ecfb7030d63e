"""A sweep file and the runs it expands to.

::

    question: what the study asks
    base:     [overrides of every run]
    axes:     {key: [values]}          their product
    zip:      {key: [values]}          lists of one length, side by side
    variants: {name: [overrides]}      one condition each; the first is what the others are compared with
    best_of:  {key: [values]}          an axis that each condition is tuned over
    stages:   {name: {parents: {role: stage[@step] or a list of them}, base: …, axes: …, zip: …}}
    analyses: [name, or {name: …, option: …}]

A variant changes the base. Where it sets what an axis varies, it takes that axis' place, with several values too:
``again: [seed=100,101]`` is the base once more, from other seeds.

Stages stand in order: what a stage starts from stands before it. A run of a stage starts from each run of its parent's
and has its values of axes and zip, too, but for those that the stage sets itself. `parents` may also be varied, as
``zip: {parents.continue: [trunk@400, trunk@800], …}``; a list under `parents` is an axis. The axes of the sweep are
those of the stages without a parent.

A stage with several parents has them from one chain: the first (in the order of the roles) is gone through run by run,
and another is the run of its stage that this one comes from, or else the one whose values are the same.

What a stage chooses by a group (`corpus=…`, `objective=…` or `alignment=…`) is its own altogether: of the sweep's base
and of its parent's values, that choice and all options of it (`corpus.path`, `method.beta`) do not reach it; and where
its base chooses, it does not hand values of such options down.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from harness.composition import compose, typed
from harness.config import ConfigError, plugin_config, replace_at
from harness.errors import UserError, standing_in, suggest
from harness.help import group_of, groups, slot_group
from harness.hookspecs import KINDS
from harness.planning.parents import split
from harness.plugins import sweep_folder
from harness.registry import METHOD, METHODS
from harness.schema import ROLES, RunConfig

KEYS = ("question", "base", "axes", "zip", "variants", "best_of", "stages", "analyses")
STAGE_KEYS = ("parents", "base", "axes", "zip")

#: Key → value of one run.
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Overrides of all its runs, and what is varied."""

    name: str
    base: tuple[str, ...] = ()
    axes: dict[str, list[Any]] = field(default_factory=dict)
    zip: dict[str, list[Any]] = field(default_factory=dict)

    def sets(self) -> set[str]:
        """The keys that it sets."""
        return {key_of(override) for override in self.base} | self.axes.keys() | self.zip.keys()

    def rows(self) -> list[Row]:
        """Key → value of each run, in order: the product of the axes, times the zipped rows."""
        product = [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]
        zipped = [dict(zip(self.zip, values, strict=True)) for values in zip(*self.zip.values(), strict=True)] or [{}]
        return [{**one, **other} for one in product for other in zipped]


@dataclass(frozen=True, kw_only=True)
class Stage(Grid):
    """One stage of a sweep. parents: by role, the name of a stage before it, with a step or without."""

    parents: dict[str, str] = field(default_factory=dict)

    def is_own(self, key: str) -> bool:
        """Whether what others set at a key does not reach the stage: it sets that key, or chooses what has it."""
        return key in self.sets() or _chooses(self.sets(), key)

    def keeps(self, key: str) -> bool:
        """Whether a value of its runs is of no use to those that start from them, as an option of what only its base
        chooses."""
        return key.startswith("parents.") or _chooses({key_of(override) for override in self.base}, key)


def _chooses(keys: set[str], key: str) -> bool:
    """Whether some of the keys are a group of plugins that has another key, or are its equal."""
    chosen = [_place(group) for group in keys & {group_of(kind) for kind in KINDS}]
    return any(f"{_place(key)}.".startswith(f"{place}.") for place in chosen)


def key_of(override: str) -> str:
    """The key of an override as it is written."""
    return override.split("=")[0].lstrip("+~")


def _place(key: str) -> str:
    """Where in a run's config a key or a group stands: an objective and an alignment in one place."""
    return ".".join(METHOD if part in METHODS else part for part in key.split("/"))


@dataclass(frozen=True, kw_only=True)
class Sweep(Grid):
    """One sweep. variants: by name, the values that each sets in place of those of axes and base, by key. file: its
    path, for messages. text: the file as it was read."""

    question: str = ""
    variants: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    best_of: dict[str, list[Any]] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    analyses: tuple[Any, ...] = ()
    file: str = ""
    text: str = ""

    def where(self, variant: str = "") -> str:
        """Where something of it stands, for messages."""
        return (self.file or self.name) + (f", variant {variant}" if variant else "")

    def rows(self) -> list[Row]:
        return [row for _, row in self.named_rows()]

    def named_rows(self) -> list[tuple[str, Row]]:
        """The rows, each with the name of its variant; empty where there are none."""
        found = []
        for name, own in (self.variants or {"": {}}).items():
            side = {key: values for key, values in self.zip.items() if key not in own}
            grid = Grid(name=name, axes={**self.axes, **self.best_of, **own}, zip=side)
            found += [(name, row) for row in grid.rows()]
        return found


def load_sweep(name: str) -> Sweep:
    """By name from ``./sweeps`` or from those that come with the harness, or by path. Raises UserError."""
    import yaml

    path = _find(name)
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {error}") from None
    if values is None:
        raise UserError(f"{path} is empty: a sweep says what its runs are, as in base: [experiment=tiny].")
    _check_keys(str(path), values, KEYS)
    analyses = [plugin_config("analysis", a, f"analyses[{i}]") for i, a in enumerate(_list(path, "analyses", values))]
    grid, best_of = _grid(str(path), path.stem, values), _lists(str(path), "best_of", values)
    if both := sorted(best_of.keys() & (grid["axes"].keys() | grid["zip"].keys())):
        raise UserError(f"{path}: {both[0]} stands under best_of and under axes or zip. Keep one of them.")
    if values.get("stages") and (tuned := [key for key in ("variants", "best_of") if values.get(key)]):
        raise UserError(f"{path}: {tuned[0]} and stages do not go together. Vary stages by axes of theirs.")
    return Sweep(
        **grid,
        variants=_variants(path, grid["axes"], values.get("variants") or {}),
        best_of=best_of,
        question=" ".join(str(values.get("question", "")).split()),
        stages=_stages(path, values.get("stages") or {}),
        analyses=tuple(analyses),
        file=str(path),
        text=text,
    )


def _check_keys(where: str, values: Any, keys: Sequence[str]) -> None:
    if not isinstance(values, dict):
        raise UserError(f"{where} must be a mapping with {', '.join(keys)}.")
    for key in values:
        if key not in keys:
            what = "a sweep" if keys == KEYS else "a stage"
            raise UserError(f"{where}: {key} is not a key of {what}. {suggest(key, keys)}")


def _grid(where: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
    axes, side = _lists(where, "axes", values), _lists(where, "zip", values)
    if len({len(v) for v in side.values()}) > 1:
        lengths = ", ".join(f"{key} {len(v)}" for key, v in side.items())
        raise UserError(f"{where}: the lists under zip must be of one length; they are {lengths}.")
    if both := sorted(axes.keys() & side.keys()):
        raise UserError(f"{where}: {both[0]} stands under axes and under zip. Keep one of them.")
    return {"name": name, "base": tuple(str(o) for o in _list(where, "base", values)), "axes": axes, "zip": side}


def _variants(path: Path, axes: dict[str, list[Any]], values: Any) -> dict[str, dict[str, list[Any]]]:
    if not isinstance(values, dict):
        raise UserError(f"{path}: variants must map the name of each to a list of overrides.")
    found = {}
    for name in values:
        own = dict(_values(str(override)) for override in _list(f"{path}: variants", name, values))
        for key, several in own.items():
            if len(several) > 1 and key not in axes:
                raise UserError(
                    f"{path}: variants.{name} gives {key} {len(several)} values, and a variant is one condition. Make "
                    "variants of them, or put the key under axes."
                )
        found[str(name)] = own
    return found


def _stages(path: Path, values: Any) -> tuple[Stage, ...]:
    if not isinstance(values, dict):
        raise UserError(f"{path}: stages must map the name of each stage to its {', '.join(STAGE_KEYS)}.")
    found: dict[str, Stage] = {}
    for name, stage in values.items():
        where, stage = f"{path}: stages.{name}", stage or {}
        _check_keys(where, stage, STAGE_KEYS)
        parents = stage.get("parents") or {}
        if not isinstance(parents, dict):
            raise UserError(f"{where}: parents must map roles to stages, as in continue: trunk.")
        for role, given in parents.items():
            if role not in ROLES:
                raise UserError(f"{where}: {role} is no role of a parent. {suggest(role, ROLES)}")
            for parent in given if isinstance(given, list) else [given]:
                if split(str(parent))[0] not in found:
                    raise UserError(f"{where}: {parent} is no stage before it. {suggest(str(parent), found)}")
        several = {f"parents.{role}": given for role, given in parents.items() if isinstance(given, list)}
        one = {role: str(given) for role, given in parents.items() if not isinstance(given, list)}
        varied = {**stage, "axes": {**several, **(stage.get("axes") or {})}} if several else stage
        found[name] = Stage(**_grid(where, str(name), varied), parents=one)
    return tuple(found.values())


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise UserError(f"There is no sweep file {name}.")
    for folder in _folders():
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = suggest(name, sweep_names())
    raise UserError(f"There is no sweep named {name}. {known} A path that ends in .yaml also works.")


def _folders() -> list[Path]:
    return [Path("sweeps"), sweep_folder()]


def sweep_names() -> list[str]:
    """The sweeps that are known by name: those in ``./sweeps`` and those that come with the harness."""
    return sorted({file.stem for folder in _folders() for file in folder.glob("*.yaml")})


def _list(where: object, key: str, values: dict[str, Any]) -> list[Any]:
    found = values.get(key) or []
    if not isinstance(found, list):
        raise UserError(f"{where}: {key} must be a list.")
    return found


def _lists(where: str, key: str, values: dict[str, Any]) -> dict[str, list[Any]]:
    found = values.get(key) or {}
    if not isinstance(found, dict) or not all(isinstance(v, list) and v for v in found.values()):
        raise UserError(f"{where}: {key} must map each key to a list of values, as in seed: [0, 1, 2].")
    return {str(k): v for k, v in found.items()}


def with_overrides(sweep: Sweep, overrides: Sequence[str]) -> Sweep:
    """The sweep with its base changed. An override of what the sweep varies takes its place (``seed=0,1,2`` is a list);
    one with several values becomes an axis; ``variants=a,b`` leaves the others out. Raises UserError for what single
    stages set: which is meant?"""
    axes, side, base = dict(sweep.axes), dict(sweep.zip), list(sweep.base)
    best_of, variants = dict(sweep.best_of), sweep.variants
    for override in overrides:
        key, values = _values(override)
        if key == "variants":
            variants = _chosen(sweep, values)
            continue
        if setting := [stage.name for stage in sweep.stages if stage.is_own(key)]:
            raise UserError(f"{key} is set by the stages {', '.join(setting)} of {sweep.name}. Change it in its file.")
        if key in METHODS and values != [None]:  # an objective and an alignment take each other's place
            base = [kept for kept in base if key_of(kept) not in METHODS]
        if key in best_of:
            best_of[key] = values
        elif key in axes or key in side or len(values) > 1:
            side.pop(key, None)
            axes[key] = values
        else:
            base.append(override)
    return replace(sweep, base=tuple(base), axes=axes, zip=side, best_of=best_of, variants=variants)


def _chosen(sweep: Sweep, names: Sequence[Any]) -> dict[str, dict[str, list[Any]]]:
    """The variants of these names, in this order."""
    for name in names:
        if name not in sweep.variants:
            raise UserError(f"{name} is no variant of {sweep.name}. {suggest(str(name), sweep.variants)}")
    return {name: sweep.variants[name] for name in names}


def _values(override: str) -> tuple[str, list[Any]]:
    """The key of an override and its values, by Hydra's grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(override)
        values = list(parsed.sweep_iterator()) if parsed.is_sweep_override() else [parsed.value()]
    except HydraException as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{override} is not key=value, or key=value,value,…: {said}.") from None
    return parsed.key_or_group, [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """A parsed value without Hydra's quotes."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return getattr(value, "text", value)


def expand(sweep: Sweep) -> list[RunConfig]:
    """One config for each row of a sweep without stages."""
    assert not sweep.stages, "harness.studies.stages knows them"
    named = sweep.named_rows()
    return configs(sweep.base, [row for _, row in named], [sweep.where(name) for name, _ in named])


def configs(base: Sequence[str], rows: Sequence[Row], where: Sequence[str]) -> list[RunConfig]:
    """One config for each row. Hydra composes once for each choice of groups and of what other values are computed
    from (such as ``${scale.width}``); everything else is set by type from there. where: each row stands, for messages.
    """
    compositions: dict[str, Any] = {}
    made: dict[str, RunConfig] = {}
    known, found = set(groups()), []

    def composed(values: dict[str, Any]) -> str:
        at = json.dumps(values, sort_keys=True, default=str)
        if at not in compositions:
            compositions[at] = compose([*base, *(_override(key, v) for key, v in values.items())])
        return at

    def config_of(row: Row) -> RunConfig:
        groups_of = {key for key in row if key in known or slot_group(key)}
        start = compositions[composed({key: value for key, value in row.items() if key in groups_of})]
        chosen = {key: value for key, value in row.items() if key in groups_of or _needed(start, key)}
        at = composed(chosen)
        if at not in made:
            made[at] = cast(RunConfig, typed(compositions[at]))
        config = made[at]
        for key, value in row.items():
            if key not in chosen:
                config = _with(config, key, value)
        return config

    for row, place in zip(rows, where, strict=True):
        with standing_in(place):
            found.append(config_of(row))
    return found


def _with(config: RunConfig, key: str, value: Any) -> RunConfig:
    """A copy with another value at a key; of a mapping, such as parents, the other entries stay."""
    place, _, name = key.rpartition(".")
    if isinstance(mapping := getattr(config, place, None), dict):
        return replace_at(config, place, {**mapping, name: value})
    return replace_at(config, key, value)


def _needed(composed: Any, key: str) -> bool:
    """Whether a composition refers to a key, or cannot do without its value."""
    from omegaconf import OmegaConf

    place, _, name = key.rpartition(".")
    node = OmegaConf.select(composed, place) if place else composed
    return f"${{{key}}}" in str(composed) or (OmegaConf.is_dict(node) and OmegaConf.is_missing(node, name))


def _override(key: str, value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float)):
        return f"{key}={json.dumps(value)}"
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"
