"""From group choices and overrides to a typed config, by Hydra, with errors that a person can use."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TypeVar, cast

from harness.config import Config, ConfigError, fields_of, from_mapping, slot_of, slots_of, to_mapping
from harness.errors import suggest
from harness.help import (
    WITHIN,
    default_choices,
    group_of,
    group_options,
    groups,
    kind_of,
    options_of,
    place_of,
    preset_folders,
    slot_group,
)
from harness.hookspecs import KINDS
from harness.leftovers import without_leftovers
from harness.plugins import config_folder, config_folders
from harness.registry import METHOD, METHODS, registry
from harness.schema import FitConfig, GenerateConfig, RunConfig, ScoreConfig, SyncConfig
from harness.sizes import sizes_in
from harness.words import NONE, all_groups, both_methods, for_hydra, placed

C = TypeVar("C", bound=Config)

#: What each verb's primary config (conf/<name>.yaml) is checked against.
SCHEMAS: dict[str, type[Config]] = {
    "run": RunConfig,
    "score": ScoreConfig,
    "generate": GenerateConfig,
    "fit": FitConfig,
    "sync": SyncConfig,
}


def prepare_hydra() -> None:
    """Makes Hydra know our schemas, every registered plugin, the folders of presets and our resolvers. Idempotent."""
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin
    from omegaconf import OmegaConf

    class HarnessSearchPath(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            if (Path.cwd() / "conf").is_dir():  # the user's own presets come before a plugin's
                search_path.prepend("user", str(Path.cwd() / "conf"))
            for owner, folder in config_folders():
                search_path.append(owner, folder)

    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name=f"{name}_schema", node=_node(schema))
    for (kind, _), owners in registry().entries.items():
        for owner in owners:
            name = owner.name if len(owners) == 1 else f"{owner.distribution}:{owner.name}"
            package = METHOD if kind in METHODS else None
            store.store(
                group=group_of(kind), name=name, node={**_plugin_node(owner.config), "name": name}, package=package
            )
    _store_sizes(tuple(preset_folders()))
    for group in all_groups():  # what `-m adapter=null,lora` finds: Hydra deletes no choice in one run of many
        store.store(group=group, name=NONE, node={}, package="_global_")
    if not any(p.__name__ == "HarnessSearchPath" for p in Plugins.instance().discover(SearchPathPlugin)):
        Plugins.instance().register(HarnessSearchPath)
    OmegaConf.register_new_resolver("ratio", lambda a, b: float(a) / float(b), replace=True)
    OmegaConf.register_new_resolver("scratch", lambda: f"{gettempdir()}/harness-{os.getuid()}", replace=True)
    OmegaConf.register_new_resolver("root", lambda a: float(a) ** 0.5, replace=True)
    OmegaConf.register_new_resolver("whole_ratio", lambda a, b: max(1, int(a) // int(b)), replace=True)


@lru_cache(maxsize=1)  # they are many: once, where each composition would store them again
def _store_sizes(folders: tuple[Path, ...]) -> None:
    """The rows of all tables, as if each were a YAML file. Where two have a name, the first folder's is it."""
    from hydra.core.config_store import ConfigStore

    for folder in reversed(folders):
        for group in sorted({file.parent.relative_to(folder).as_posix() for file in folder.rglob("*.csv")}):
            for size in sizes_in(folder / group):
                node = {"defaults": [size.of, "_self_"], **size.values}
                ConfigStore.instance().store(group=group, name=size.name, node=node)


def _node(config: type[Config]) -> dict[str, Any]:
    """A config class as Hydra holds it: plain values. Types are checked by `typed`, which knows more of them than
    OmegaConf does."""
    return to_mapping(config())


def _plugin_node(config: type[Config]) -> dict[str, Any]:
    """A plugin's, in which every slot can be chosen: one that its list of defaults does not name stands there empty."""
    listed = getattr(config(), "defaults", ["_self_"])
    named = {slot_of(key) for entry in listed if isinstance(entry, dict) for key in entry}
    empty = [{f"/{group_of(kind)}@{slot}": None} for slot, kind in slots_of(config).items() if slot not in named]
    return {**_node(config), "defaults": [*listed, *empty]}


def compose(overrides: Sequence[str], name: str = "run") -> Any:
    """The composed DictConfig. Raises ConfigError, one paragraph, for anything that does not compose."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import open_dict

    prepare_hydra()
    with told(overrides, name), initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = hydra_compose(name, overrides=for_hydra(overrides), return_hydra_config=True)
        _check_choices(composed)
        without_leftovers(composed, composed.hydra.overrides.task)
        with open_dict(composed):
            del composed["hydra"]
        return composed


def values_at(overrides: Sequence[str], schema: type[Config]) -> dict[str, Any]:
    """What overrides compose to, by dotted key; what is computed from other values stands as it is written."""
    from omegaconf import OmegaConf

    name = next(name for name, of in SCHEMAS.items() if of is schema)
    found: dict[str, Any] = {}

    def fill(values: dict[str, Any], path: str) -> None:
        for key, value in values.items():
            found[f"{path}{key}"] = value
            if isinstance(value, dict):
                fill(value, f"{path}{key}.")

    fill(cast(dict[str, Any], OmegaConf.to_container(compose(overrides, name), resolve=False)), "")
    return found


@contextlib.contextmanager
def told(overrides: Sequence[str], name: str) -> Iterator[None]:
    """Hydra's exceptions become ConfigErrors of one paragraph."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except ConfigError:
        raise
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error, overrides, name)) from error
    except AssertionError as error:  # Hydra's own, for a group's choice that is computed and no text
        raise ConfigError(
            "The config does not compose: a group's choice is a name, such as optimizer=adamw."
        ) from error


def _check_choices(composed: Any) -> None:
    """Raises ConfigError where presets, of which `for_hydra` does not know, choose an objective and an alignment."""
    choices = composed.hydra.runtime.choices
    names = [f"{key}={choices[key]}" for key in METHODS if choices.get(key) not in (None, NONE)]
    if len(names) > 1:
        raise ConfigError(
            f"{both_methods(*names)} A preset that chooses an alignment has `override /objective: null`, too."
        )


def typed(composed: Any, name: str = "run") -> Config:
    """The composed config as plain dataclasses, checked strictly once more (so that ``+new.key=1`` is refused)."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if "hydra" in composed:  # one of many runs
        _check_choices(composed)
        without_leftovers(composed, composed.hydra.overrides.task)
    plain = {key: composed._get_node(key) for key in composed if key != "hydra"}
    try:
        values = OmegaConf.to_container(OmegaConf.create(plain), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error
    return from_mapping(SCHEMAS[name], cast(dict[str, Any], values))


def run_config(overrides: Sequence[str]) -> RunConfig:
    """One run's config from overrides such as ``["architecture=gpt2_124m", "seed=1"]``."""
    return cast(RunConfig, typed(compose(overrides)))


# ------------------------------------------------------------------------------------------ errors


def _one_line(error: BaseException) -> str:
    text = str(error).split("\n    full_key:")[0]
    return re.sub(r"\s+", " ", text).strip()


def explain(error: BaseException, overrides: Sequence[str], name: str) -> str:
    """Hydra's exception in one paragraph, with what would be right."""
    from hydra.errors import OverrideParseException

    cause = error.__cause__ or error
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read as key=value: a group and a name, or a dotted option and a value."
    group = re.search(r"Could not find '([\w/.:-]+)/([^/']+)'", str(error))
    if group:
        where, asked = group.groups()
        if len(registry().entries.get((kind_of(where), asked), [])) > 1:
            return registry().clash(kind_of(where), asked)
        near = _in_another_group(asked, where) or suggest(asked, _options(where))
        return f"{where}={asked} is unknown. {near}{registry().trouble()}"
    unknown = re.search(r"Key '([^']+)' is not in struct|Key '([^']+)' not in '", str(cause))
    full_key = re.search(r"full_key: (\S+)", str(cause))
    if unknown and full_key and (method := full_key.group(1).split(".")[0]) in METHODS:
        return f"The options of an {method} stand under method: method.<option>=…, as `--cfg job` shows."
    if unknown and full_key:
        return _unknown_key(full_key.group(1), name, overrides)
    no_group = re.search(r"Could not (?:override|delete) '([^']+)'", str(error))
    if no_group:
        said = (word.lstrip("~").partition("=")[0] for word in overrides)
        key = next((key for key in said if placed(key) == no_group.group(1)), no_group.group(1))
        if holders := _holders(key):
            return f"{key} is a part of {' or '.join(holders)}, which is not chosen."
        if key in groups():
            return f"{key} is a group that is not chosen of here: `--help` lists those that are."
        return f"{key} is not an option or a group. {_suggest_key(key, name, overrides)}"
    if "Ambiguous value for argument" in str(cause):
        several = str(cause).split("'")[1]
        return f"{several} has several values: one run for each is trained by -m, and a list stands in brackets."
    place = f" ({full_key.group(1)})" if full_key else ""
    return f"The config does not compose: {_one_line(cause)}{place}."


def _options(group: str) -> list[str]:
    """Every name that can be chosen in a group: registered plugins and YAML presets."""
    return [name for name, _ in group_options(group)]


def _in_another_group(asked: str, group: str) -> str:
    """Where what is no name in a group is one in another."""
    found = [f"{other}={asked}" for other in groups() if other != group and asked in _options(other)]
    return f"Did you mean {' or '.join(found)}?" if found else ""


def _holders(key: str) -> list[str]:
    """The choices that have the part that a key such as architecture/norm chooses."""
    holder, _, part = key.rpartition("/")
    return [
        f"{holder}={name}"
        for name in registry().names(kind_of(holder))
        if slot_group(key) and part in slots_of(registry().get(kind_of(holder), name))
    ]


def _unknown_key(key: str, name: str, overrides: Sequence[str]) -> str:
    """key: as far as Hydra has read it. An option of what is not chosen tells what has it."""
    said = [(o.lstrip("+").partition("=")[0], o.lstrip("+")) for o in overrides]
    full, word = next(((k, o) for k, o in said if k == key or k.startswith(f"{key}.")), (key, key))
    part = next((group_of(kind) for kind in WITHIN if place_of(group_of(kind)) == key), None)
    has = _holders(part) if part else _elsewhere(name).get(full, [])
    if len(has) == 1:
        return f"{full} is an option of {has[0]}, which is not chosen: say {has[0]} {word}."
    if has:
        return f"{full} is an option of {', '.join(has[:-1])} and {has[-1]}, none of which is chosen: choose one."
    return f"{full} is not an option. {_suggest_key(full, name, overrides)}"


def _elsewhere(name: str) -> dict[str, list[str]]:
    """The dotted key of every option of every plugin that the verb can use, and the choices that have it."""
    found: dict[str, list[str]] = {}
    for kind in KINDS:
        place = place_of(group_of(kind))
        if place.split(".")[0] in fields_of(SCHEMAS[name]):
            for plugin in registry().names(kind):
                for option in options_of(registry().get(kind, plugin), place):
                    found.setdefault(option.key, []).append(f"{group_of(kind)}={plugin}")
    return found


def _suggest_key(key: str, name: str, overrides: Sequence[str]) -> str:
    """The nearest of all keys and groups; where none is near, what keys begin with."""
    chosen = dict(o.split("=", 1) for o in overrides if o.split("=")[0] in groups())
    keys = {option.key for option in options_of(SCHEMAS[name], "", {**default_choices(name), **chosen})} | {*groups()}
    known = {other for other in (*keys, *_elsewhere(name)) if "." in other} if "." in key else keys
    near = suggest(key, known)
    return near if near.startswith("Did you mean") else suggest(key, {k.split(".")[0].split("/")[0] for k in keys})
