"""What determines a run's result, and the id that is its hash.

Planning resolves a config (budget to whole steps, paths to content hashes); identity hashes what it resolved,
with the `results_version` of the core and of each plugin. The code that made a run is no part of its id: for an
editable or modified installation its digest stands in the manifest, and reuse is refused where it differs.
"""

from __future__ import annotations

import functools
import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from harness.config import Config, PluginConfig, fields_of
from harness.hookspecs import KINDS
from harness.interfaces.corpus import CorpusConfig
from harness.registry import registry
from harness.schema import RunConfig
from harness.sources import source_digest

#: Raised when a change of the core changes results.
RESULTS_VERSION = 1

#: The rooms whose code makes a model.
ROOMS = ("data", "models", "decoding", "training")


def identity(
    config: RunConfig, *, data: str, vocabulary: int, steps: int, parents: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What determines the result, JSON-ready. data: content hash of corpus, tokenizer and split. parents: by role,
    ``<id>@<step>`` of a run or the content hash of a folder."""
    determines = determining(config.with_seeds())
    if config.method is None:  # what it takes over from its parent, the parent's id determines
        determines = {"quantizer": determines["quantizer"]}
    versions = sorted({(_told(plugin), plugin.results_version) for plugin in plugins_of(config)})
    raised = {"plugins": [list(pair) for pair in versions if pair[1] != 1]}
    return {
        "results_version": RESULTS_VERSION,
        "data": data,
        "vocabulary": vocabulary,
        "steps": steps,
        "config": determines,
        **(raised if raised["plugins"] else {}),
        **({"parents": dict(parents)} if parents else {}),
    }


def run_id(identity: Mapping[str, Any]) -> str:
    """12 hexadecimal digits of SHA-256 over the canonical JSON of an identity."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def determining(config: Config) -> dict[str, Any]:
    """The fields of a config that determine a result. A field at its neutral value is left out."""
    found: dict[str, Any] = {}
    for name in fields_of(type(config)):
        value = _told(config) if name == "name" and isinstance(config, PluginConfig) else getattr(config, name)
        if _determines(config, name):
            found[name] = _plain(value)
            if found[name] == {} and isinstance(value, Config):  # a section that is neutral altogether
                del found[name]
    return found


def _told(plugin: PluginConfig) -> str:
    """A plugin's name as ids tell it, however it was said: ours as they are, and others behind their distribution's, so
    that an id stays what it is when somebody else brings a plugin of the same name."""
    owner, name = _owner(plugin)[0], plugin.name.rpartition(":")[2]
    return name if owner in ("harness-lm", "?") else f"{owner}:{name}"


def _determines(config: Config, name: str) -> bool:
    """Whether a field determines the result, at its value and at that of the field which it depends on."""
    metadata = fields_of(type(config))[name].metadata
    on = metadata.get("identity", True)
    if getattr(config, name) == metadata.get("neutral", object()):
        return False
    return _determines(config, on) if isinstance(on, str) else bool(on)


def flat_difference(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """Where two configs differ in what determines a result: both values by dotted key. None stands for what one of
    them does not have, or has at its neutral value."""
    here, there = _flat(determining(one)), _flat(determining(other))
    keys = [*here, *(key for key in there if key not in here)]
    return {key: (here.get(key), there.get(key)) for key in keys if here.get(key) != there.get(key)}


def _flat(values: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{at}{key}.") if isinstance(value, Mapping) else {f"{at}{key}": value}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return determining(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


# -------------------------------------------------------------------------------------------- code


def code(config: RunConfig) -> dict[str, Any]:
    """The code that makes this run: {"released": …, "digest": …, "digests": {…}, "versions": {…}}.

    released: every distribution involved is installed as it was published; then no digest is needed. digests: of the
    rooms and of each plugin's source, so that runs with different plugins can be told from runs of different code.
    """
    modules = sorted({type(plugin).__module__ for plugin in plugins_of(config)})
    owners = {_owner(plugin) for plugin in plugins_of(config)} | {("harness-lm", _version("harness-lm"))}
    released = all(_is_released(name) for name, _ in owners)
    return {
        "released": released,
        "digest": source_digest(ROOMS, tuple(modules)),
        "digests": {"harness": source_digest(ROOMS, ()), **{name: source_digest((), (name,)) for name in modules}},
        "versions": dict(sorted(owners)),
    }


def plugins_of(config: Any) -> Iterator[PluginConfig]:
    """Every plugin's Config that helps to determine the result, also those of a mix's sources and those named in a
    block's differences."""
    if isinstance(config, PluginConfig):
        yield config
    if isinstance(config, CorpusConfig):
        yield from (source.corpus for source in config.mixture() if source.corpus is not config)
    if isinstance(config, Config):
        for name, field in fields_of(type(config)).items():
            if field.metadata.get("identity", True) or name == "corpus":
                yield from plugins_of(getattr(config, name))
    elif isinstance(config, Mapping):
        for key, value in config.items():
            chosen = value.get("name") if isinstance(value, Mapping) else value
            if key in KINDS and isinstance(chosen, str):
                yield registry().get(key, chosen)(name=chosen)
            else:
                yield from plugins_of(value)


def _owner(plugin: PluginConfig) -> tuple[str, str]:
    for entries in registry().entries.values():
        for entry in entries:
            if entry.config is type(plugin):
                return entry.distribution, entry.version
    return "?", "?"


def _version(name: str) -> str:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return "?"


@functools.cache
def _is_released(name: str) -> bool:
    """Whether a distribution is installed, not editable, and every Python file has its published content."""
    try:
        dist = distribution(name)
    except PackageNotFoundError:
        return False
    direct = dist.read_text("direct_url.json")
    if direct and json.loads(direct).get("dir_info", {}).get("editable"):
        return False
    python = [f for f in dist.files or [] if f.suffix == ".py"]
    return bool(python) and all(f.hash and _sha256(Path(str(f.locate()))) == f.hash.value for f in python)


def _sha256(path: Path) -> str:
    try:
        return urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
    except OSError:
        return ""
