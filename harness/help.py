"""Help texts from what is registered and what lies in the preset folders, without torch, and without Hydra where no
words choose anything."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.config import MISSING, Config, default_parts, fields_of, slots_of
from harness.errors import UserError, suggest
from harness.hookspecs import KINDS
from harness.plugins import config_folder, config_folders
from harness.registry import METHOD, METHODS, registry
from harness.sizes import sizes_in

#: Kinds that stand at the level of another one.
WITHIN = {
    **dict.fromkeys(("attention", "position", "feedforward", "norm", "head"), "architecture"),
    "reward": "alignment",
}


def kind_of(group: str) -> str:
    return group.split("/")[-1]


def group_of(kind: str) -> str:
    """The Hydra group in which a kind's names are chosen: parts stand at the architecture's level."""
    return f"{WITHIN[kind]}/{kind}" if kind in WITHIN else kind


def place_of(group: str) -> str:
    """Where in a config the options of a group's choice stand."""
    return ".".join(METHOD if part in METHODS else part for part in group.split("/"))


def slot_group(key: str) -> str | None:
    """The group whose names fill a slot of a part, such as architecture/feedforward/expert; None where none has it."""
    holder, _, slot = key.rpartition("/")
    if holder == group_of(kind_of(holder)):
        for name in registry().names(kind_of(holder)):
            slots = slots_of(registry().get(kind_of(holder), name))
            if slot in slots:
                return group_of(slots[slot])
    return None


def preset_folders() -> list[Path]:
    """Folders of presets, the user's own first."""
    found = [Path.cwd() / "conf", config_folder()]
    for _, folder in config_folders():
        found.append(_package_folder(folder.removeprefix("pkg://")) if folder.startswith("pkg://") else Path(folder))
    return [folder for folder in dict.fromkeys(f.resolve() for f in found) if folder.is_dir()]


def _package_folder(package: str) -> Path:
    parent, _, leaf = package.replace("/", ".").rpartition(".")
    spec = importlib.util.find_spec(parent or leaf)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / (leaf if parent else "")


def group_options(group: str) -> list[tuple[str, str]]:
    """(name, what it is) of everything that can be chosen in a group, plugins before presets."""
    options: dict[str, str] = {}
    if kind_of(group) in KINDS and group == group_of(kind_of(group)):
        for name in registry().names(kind_of(group)):
            options[name] = _class_text(registry().get(kind_of(group), name))
    for folder in preset_folders():
        presets = {file.stem: _yaml_line(file) for file in (folder / group).glob("*.yaml")}
        presets |= {size.name: size.what for size in sizes_in(folder / group)}
        for name, line in sorted(presets.items()):
            options.setdefault(name, line)
    return list(options.items())


def groups() -> list[str]:
    """Every group: one for each kind with something in it, and the folders of presets."""
    found = [group_of(kind) for kind in KINDS if registry().names(kind)]
    for folder in preset_folders():
        found += [path.name for path in sorted(folder.iterdir()) if path.is_dir() and any(path.glob("*.yaml"))]
    return list(dict.fromkeys(found))


def _class_text(config: type) -> str:
    """A class's first paragraph; that of its module where the class has none (a dataclass then has its signature)."""
    own = config.__doc__ or ""
    return first_paragraph(sys.modules[config.__module__].__doc__ if own.startswith(f"{config.__name__}(") else own)


def first_paragraph(text: str | None) -> str:
    """On one line.

    >>> first_paragraph("One thing\\n    in two lines.\\n\\n    More.")
    'One thing in two lines.'
    """
    return " ".join((text or "").strip().split("\n\n")[0].split())


def plugin_of(kind: str, name: str) -> str | None:
    """The plugin that a name is, or that the preset of that name begins with; None where there is none."""
    if name in registry().names(kind):
        return name
    for folder in preset_folders():
        file = folder / group_of(kind) / f"{name}.yaml"
        if file.is_file():
            first = _yaml(file).get("defaults", [None])[0]
            return plugin_of(kind, first) if isinstance(first, str) else None
    return None


def _yaml(file: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}


def _yaml_line(file: Path) -> str:
    """The first paragraph of its comments, on one line."""
    comments = [line.lstrip("# ").strip() for line in file.read_text().splitlines() if line.startswith("#")]
    return first_paragraph("\n".join(line for line in comments if not line.startswith("@package")))


@dataclass(frozen=True)
class Option:
    """An option at its dotted key."""

    key: str
    field: Field[Any]
    default: Any

    @property
    def type(self) -> str:
        """As it stands in the class, with null for None; of a slot, the kind of plugin that it holds."""
        if "kind" in self.field.metadata:
            return str(self.field.metadata["kind"])
        said = self.field.type
        return (said.__name__ if isinstance(said, type) else str(said)).replace("None", "null")

    @property
    def help(self) -> str:
        return str(self.field.metadata.get("help", ""))


def options_of(
    config: type[Config], path: str = "", chosen: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Option]:
    """Every option of a config class, and of the plugins that are chosen, by group or slot; of what stands at one place
    the last that is."""
    at_place = {place_of(key): name for key, name in chosen.items() if name}
    for name, field in fields_of(config).items():
        at = f"{path}.{name}" if path else name
        default: Any = field.default_factory() if callable(field.default_factory) else field.default
        if "kind" in field.metadata:
            kind, plugin = field.metadata["kind"], at_place.get(at)
            if at not in {
                kind,
                place_of(group_of(kind)),
            }:  # a slot that no group fills, such as suite.text, is told too
                yield Option(at, field, plugin or default)
            yield from plugin_options(kind, plugin, at, chosen)
        elif isinstance(default, Config):
            yield from options_of(type(default), at, chosen)
        elif isinstance(default, dict) and default:
            yield from (Option(f"{at}.{key}", field, value) for key, value in default.items())
        elif name != "name":
            yield Option(at, field, default)


def default_choices(name: str) -> dict[str, str]:
    """The choices of a verb's file in conf/."""
    listed = _yaml(config_folder() / f"{name}.yaml")["defaults"]
    return {key: value for entry in listed if isinstance(entry, dict) for key, value in entry.items() if value}


def plugin_options(kind: str, name: str | None, at: str, chosen: Mapping[str, str]) -> Iterator[Option]:
    """The options of a plugin at a place, or of the one that a preset sets."""
    plugin = name and plugin_of(kind, name)
    if not plugin:
        return
    config = registry().get(kind, plugin)
    parts = {f"{at}.{slot}": part for slot, part in default_parts(config).items()}
    yield from options_of(config, at, {**parts, **chosen})


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    return "?" if value is MISSING or value == MISSING else str(value)


def verb_help(
    usage: str, summary: str, config: type[Config], only: tuple[str, ...] = (), words: Sequence[str] = ()
) -> str:
    """The help text of a verb: usage, groups with their options, and the options that every config has.

    words: what else is said beside --help. Of what they choose the options are told, too, and defaults are those that
    presets set. Raises UserError where they choose what there is not."""
    chosen = _chosen(words)
    values = _preset(config, chosen)
    lines = [summary, "", f"usage: {usage}", "", "Groups, chosen by group=name:"]
    listed = [group for group in groups() if not only or group in only]
    for group in listed:
        lines.append(f"  {group}")
        lines += [_entry(f"    {name:<22} ", text) for name, text in group_options(group)]
    if options := list(options_of(config)):
        lines += ["", "Options, set by key=value:", *_told(options, values)]
    for choice, of_choice in _of_choices(chosen, values).items():
        lines += ["", f"Options of {choice}:", *(_told(of_choice, values) or ["  It has none."])]
    if not chosen:
        example = f"{listed[0]}={group_options(listed[0])[0][0]}" if only else "alignment=grpo"
        lines += ["", f"Options of a plugin: {' '.join(usage.split()[:2])} {example} --help"]
    lines += [
        "",
        "Flags: -m key=a,b (many runs), --cfg job (the composed config), --info, --hydra-help, --debug (tracebacks).",
    ]
    return "\n".join(lines)


def _chosen(words: Sequence[str]) -> dict[str, list[str]]:
    """By group or slot, the names that words choose: with -m several. Raises UserError for one that there is not."""
    said = {key: names.split(",") for key, equals, names in (word.partition("=") for word in words) if equals}
    keys = dict.fromkeys([*groups(), *filter(slot_group, said)])
    chosen = {key: [name for name in said[key] if name != "null"] for key in keys if set(said.get(key, ())) - {"null"}}
    for group, names in chosen.items():
        known = [name for name, _ in group_options(slot_group(group) or group)]
        for name in names:
            if name not in known:
                raise UserError(f"{group}={name} is unknown. {suggest(name, known)}{registry().trouble()}")
    return chosen


def _of_choices(chosen: Mapping[str, Sequence[str]], values: Mapping[str, Any]) -> dict[str, list[Option]]:
    """The options of each plugin that is chosen. values: those of a preset name its parts."""
    named = {key.removesuffix(".name"): name for key, name in values.items() if key.endswith(".name") and name}
    first = named | {place_of(group): names[0] for group, names in chosen.items()}
    kinds = {group: kind_of(slot_group(group) or group) for group in chosen}
    return {
        f"{group}={name}": list(plugin_options(kinds[group], name, place_of(group), first))
        for group, names in chosen.items()
        if kinds[group] in KINDS
        for name in names
    }


def _preset(config: type[Config], chosen: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """By dotted key, the defaults where presets are chosen; with -m, those of the first run."""
    first = {group: names[0] for group, names in chosen.items()}
    if all(name in registry().names(kind_of(slot_group(group) or group)) for group, name in first.items()):
        return {}
    from harness.composition import values_at

    return values_at([f"{group}={name}" for group, name in first.items()], config)


def _told(options: Sequence[Option], values: Mapping[str, Any]) -> list[str]:
    """A line for each, with its type where it is told what it is: of a mapping, at its first key."""
    lines, before = [], None
    for option in options:
        text = f"{option.help} ({option.type})" if option.field is not before else ""
        value = values.get(option.key, option.default)
        named = "kind" in option.field.metadata and isinstance(value, dict)
        key = f"{option.key}={_shown(value['name'] if named else value)}"
        lines.append(_entry(f"  {key:<38} ", text))
        before = option.field
    return lines


def _entry(key: str, text: str) -> str:
    """A key and what it is; on a terminal in as many lines as it needs, into a pipe in one."""
    if not sys.stdout.isatty():
        return f"{key}{text}".rstrip()
    wrap = textwrap.TextWrapper(
        shutil.get_terminal_size().columns, initial_indent=key, subsequent_indent=" " * len(key), break_on_hyphens=False
    )
    return "\n".join(wrap.wrap(text)) or key.rstrip()
