"""Discovery of plugins: entry points, `HARNESS_PLUGINS`, failures, and where their YAML lies.

``HARNESS_PLUGINS=module,…`` adds modules that are not installed, from the folder one is in or Python's own path;
``none`` turns every plugin off.
A plugin that cannot be loaded is recorded with its reason and never stops the program.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from harness import INTERFACE, __version__, hookspecs
from harness.config import PluginConfig
from harness.errors import UserError, suggest
from harness.registry import Entry, Registry, is_name

GROUP = "harness.plugins"


@dataclass
class Plugin:
    """One plugin as `harness plugins` shows it. `error` is empty where it is healthy."""

    name: str
    module: str
    distribution: str
    version: str
    registered: list[tuple[str, str]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)  #: of presets
    error: str = ""


@dataclass
class Plugins:
    manager: pluggy.PluginManager
    registry: Registry
    found: list[Plugin]

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """The results of every plugin that implements the hook, flattened one level."""
        results = getattr(self.manager.hook, hook)(**arguments)
        return [item for result in results for item in (result or ())]


@functools.cache
def load() -> Plugins:
    """All plugins of this process, loaded once."""
    manager = pluggy.PluginManager("harness")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager, Registry(), [])
    for plugin, point in _discover():
        plugins.found.append(plugin)
        try:
            _load_one(plugins, plugin, point)
        except Exception as error:
            plugin.error = _reason(error)
            plugins.registry.broken.append(f"{plugin.name} ({plugin.error})")
            if manager.has_plugin(plugin.name):
                manager.unregister(name=plugin.name)
    return plugins


def _reason(error: Exception) -> str:
    """In one line; of what is not ours, with the type."""
    if isinstance(error, UserError):
        return str(error).rstrip(".")
    return f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(".")


def _discover() -> Iterator[tuple[Plugin, EntryPoint]]:
    named = [name.strip() for name in os.environ.get("HARNESS_PLUGINS", "").split(",") if name.strip()]
    if "none" in named:
        if len(named) > 1:
            raise UserError(
                f"HARNESS_PLUGINS={','.join(named)} mixes none with names. Give none, or the modules to add."
            )
        return
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        dist = point.dist
        yield Plugin(point.name, point.value, dist.name if dist else "?", dist.version if dist else "?"), point
    if named and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, so that it hides nothing
    for name in named:
        yield Plugin(name, name, "HARNESS_PLUGINS", "-"), EntryPoint(name, name, GROUP)


def _load_one(plugins: Plugins, plugin: Plugin, point: EntryPoint) -> None:
    module = importlib.import_module(point.value.partition(":")[0])
    _speaks_our_interface(module)
    _has_our_hooks(module)
    plugins.manager.register(module, name=plugin.name)
    plugins.manager.check_pending()
    entries = [entry for kind in hookspecs.KINDS for entry in _registered(module, kind, plugin)]
    plugin.folders = list(module.config_folders()) if hasattr(module, "config_folders") else []
    for entry in entries:
        plugins.registry.add(entry)
        plugin.registered.append((entry.kind, entry.name))


def _speaks_our_interface(module: ModuleType) -> None:
    written_for = getattr(module, "HARNESS_INTERFACE", None)
    if written_for is None:
        raise UserError(f"{module.__name__} does not state HARNESS_INTERFACE = {INTERFACE}")
    if written_for > INTERFACE:
        raise UserError(
            f"{module.__name__} is written for interface {written_for}; harness {__version__} has {INTERFACE}"
        )


def _has_our_hooks(module: ModuleType) -> None:
    known = {name for name, hook in vars(hookspecs).items() if hasattr(hook, "harness_spec")}
    for name, hook in vars(module).items():
        if inspect.isroutine(hook) and hasattr(hook, "harness_impl") and name not in known:
            raise UserError(f"{name} is no hook. {suggest(name, known)}")


def _registered(module: ModuleType, kind: str, plugin: Plugin) -> Iterator[Entry]:
    hook = getattr(module, f"register_{kind}", None)
    if hook is None or not hasattr(hook, "harness_impl"):
        return
    for name, config in hook().items():
        if not is_name(name):
            raise UserError(
                f"register_{kind} gives the name {name}: a name is a letter and then letters, digits, _ and -, and no "
                "word that YAML reads as a value, such as null, true or nan"
            )
        if not (isinstance(config, type) and issubclass(config, PluginConfig)):
            raise UserError(f"register_{kind} gives {config!r} for {name}, which is no subclass of PluginConfig")
        config()  # every field has a default
        yield Entry(kind, name, config, plugin.distribution, plugin.version)


def _beside(name: str, marker: str) -> Path:
    """A folder of ours: in a wheel beside this module, in a checkout beside the package."""
    package = Path(__file__).resolve().parent
    for folder in (package / name, package.parent / name):
        if (folder / marker).is_file():
            return folder
    raise UserError(f"The folder {name}/ with {marker} is neither in {package} nor beside it: reinstall harness-lm.")


def config_folder() -> Path:
    """``conf/``: what spans plugins."""
    return _beside("conf", "run.yaml")


def sweep_folder() -> Path:
    """``sweeps/``: the studies that come with the harness."""
    return _beside("sweeps", "quickstart.yaml")


def config_folders() -> list[tuple[str, str]]:
    """(owner, folder) of every plugin's YAML presets, as Hydra's search path takes them."""
    return [(plugin.name, folder) for plugin in load().found for folder in plugin.folders]
