"""From group choices and overrides to a typed config, by Hydra, with errors that a person can use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any, TypeVar, cast

from harness.config import Config, ConfigError, from_mapping, to_mapping
from harness.errors import suggest
from harness.help import group_of, group_options, groups
from harness.hookspecs import KINDS
from harness.plugins import config_folder, config_folders
from harness.registry import METHOD, METHODS, registry
from harness.schema import FitConfig, GenerateConfig, RunConfig, ScoreConfig, SyncConfig

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
            store.store(group=group_of(kind), name=name, node={**_node(owner.config), "name": name}, package=package)
    if not any(p.__name__ == "HarnessSearchPath" for p in Plugins.instance().discover(SearchPathPlugin)):
        Plugins.instance().register(HarnessSearchPath)
    OmegaConf.register_new_resolver("ratio", lambda a, b: float(a) / float(b), replace=True)
    OmegaConf.register_new_resolver("scratch", lambda: f"{gettempdir()}/harness-{os.getuid()}", replace=True)
    OmegaConf.register_new_resolver("root", lambda a: float(a) ** 0.5, replace=True)
    OmegaConf.register_new_resolver("whole_ratio", lambda a, b: max(1, int(a) // int(b)), replace=True)


def _node(config: type[Config]) -> dict[str, Any]:
    """A config class as Hydra holds it: plain values and Hydra's own list of defaults. Types are checked by `typed`,
    which knows more of them than OmegaConf does."""
    blank = config()
    return {**({"defaults": blank.defaults} if hasattr(blank, "defaults") else {}), **to_mapping(blank)}


def compose(overrides: Sequence[str], name: str = "run") -> Any:
    """The composed DictConfig. Raises ConfigError, one paragraph, for anything that does not compose."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    prepare_hydra()
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return hydra_compose(name, overrides=for_hydra(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error, overrides, name)) from error
    except AssertionError as error:  # Hydra's own, for a group's choice that is computed and no text
        raise ConfigError(
            "The config does not compose: a group's choice is a name, such as optimizer=adamw."
        ) from error


def for_hydra(words: Sequence[str]) -> list[str]:
    """``group=null`` means none of the group, which Hydra writes as ``~group``. An alignment takes the place of the
    objective, and its parts stand where it stands. An id is text, though Hydra would read 12345e678901 as a number."""
    known = {group_of(kind) for kind in KINDS} | set(groups())
    chosen = [word for word in words if word.split("=")[0] in METHODS]
    if chosen and chosen[-1].startswith("alignment=") and chosen[-1] != "alignment=null":
        words = [*(word for word in words if not word.startswith("objective=")), "objective=null"]
    else:
        words = [word for word in words if not word.startswith("alignment=")]
    none = [f"~{word[:-5]}" if word.endswith("=null") and word[:-5] in known else word for word in words]
    none = [_PARTS.sub(rf"\1@{METHOD}.\2=", word) for word in none]
    none = [_PARTS_OF_PARTS.sub(r"\1/\2@\1.\2.\3=", word) for word in none]
    return [re.sub(r"(?<=[=,])[0-9a-f]+(@\d+)?(?=,|$)", r"'\g<0>'", w) if _IDS.match(w) else w for w in none]


_IDS = re.compile(r"(run|parents\.\w+)=")
#: The choice of a part of a method.
_PARTS = re.compile(rf"^((?:{'|'.join(METHODS)})/(\w+))=")

#: The choice of what fills a slot of an architecture's part, such as architecture/feedforward/expert=gated.
_PARTS_OF_PARTS = re.compile(r"^(architecture)/(\w+)/(\w+)=")


def typed(composed: Any, name: str = "run") -> Config:
    """The composed config as plain dataclasses, checked strictly once more (so that ``+new.key=1`` is refused)."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

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
        return f"{where}={asked} is unknown. {suggest(asked, _options(where))}{registry().trouble()}"
    unknown = re.search(r"Key '([^']+)' is not in struct|Key '([^']+)' not in '", str(cause))
    full_key = re.search(r"full_key: (\S+)", str(cause))
    if unknown and full_key and (method := full_key.group(1).split(".")[0]) in METHODS:
        return f"The options of an {method} stand under method: method.<option>=…, as `--cfg job` shows."
    if unknown and full_key:
        return f"{full_key.group(1)} is not an option. {_suggest_key(full_key.group(1), name, overrides)}"
    no_group = re.search(r"Could not override '([^']+)'\.?\s*(?:No match in the defaults list)?", str(error))
    if no_group:
        key = no_group.group(1).partition("@")[0]
        if key in groups():
            return f"{key} is a part of another {key.partition('/')[0]} than the chosen one."
        return f"{key} is not an option or a group. {_suggest_key(key, name, overrides)}"
    place = f" ({full_key.group(1)})" if full_key else ""
    return f"The config does not compose: {_one_line(cause)}{place}."


def _options(group: str) -> list[str]:
    """Every name that can be chosen in a group: registered plugins and YAML presets."""
    return [name for name, _ in group_options(group)]


def _suggest_key(key: str, name: str, overrides: Sequence[str]) -> str:
    """The nearest of all keys and groups; where none is near, what keys begin with."""
    keys = [*_keys(name, overrides), *groups()]
    near = suggest(key, keys)
    return (
        near if near.startswith("Did you mean") else suggest(key, {known.split(".")[0].split("/")[0] for known in keys})
    )


def _keys(name: str, overrides: Sequence[str]) -> list[str]:
    """The dotted keys of what the groups alone compose to, and the groups, for suggestions."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    chosen = [o for o in overrides if o.split("=")[0] in groups()]
    for attempt in (for_hydra(chosen), []):
        try:
            with initialize_config_dir(str(config_folder()), version_base="1.3"):
                composed = hydra_compose(name, overrides=attempt)
            return [
                *_leaves(composed, ""),
                "objective",
                "architecture/attention",
                "architecture/position",
            ]
        except Exception:
            continue
    return []


def _leaves(node: Any, path: str) -> Iterator[str]:
    from omegaconf import DictConfig

    for key in node:
        at = f"{path}.{key}" if path else str(key)
        yield at
        child = node._get_node(key)
        if (
            isinstance(child, DictConfig)
            and not child._is_none()
            and not child._is_missing()
            and not child._is_interpolation()
        ):
            yield from _leaves(child, at)
