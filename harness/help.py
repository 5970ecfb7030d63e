"""Help texts from what is registered and what lies in the preset folders, without Hydra and without torch."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.config import MISSING, Config, fields_of
from harness.hookspecs import KINDS
from harness.plugins import config_folder, config_folders
from harness.registry import registry

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
        for file in sorted((folder / group).glob("*.yaml")):
            options.setdefault(file.stem, _yaml_line(file))
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


def _yaml_line(file: Path) -> str:
    comments = (line.lstrip("# ").strip() for line in file.read_text().splitlines() if line.startswith("#"))
    return next((line for line in comments if line and not line.startswith("@package")), "")


def describe_options(config: type[Config], path: str = "") -> Iterator[tuple[str, str]]:
    """(key=default, help) of every option of a config class; what a plugin fills is left to its group."""
    for name, field in fields_of(config).items():
        at = f"{path}.{name}" if path else name
        if "kind" in field.metadata or name == "name":
            continue
        default: Any = field.default_factory() if callable(field.default_factory) else field.default
        if isinstance(default, Config):
            yield from describe_options(type(default), at)
        elif isinstance(default, dict) and default:
            said = [str(field.metadata.get("help", "")), *[""] * (len(default) - 1)]
            yield from (
                (f"{at}.{key}={_shown(value)}", text) for (key, value), text in zip(default.items(), said, strict=True)
            )
        else:
            yield f"{at}={_shown(default)}", str(field.metadata.get("help", ""))


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "?" if value is MISSING or value == MISSING else str(value)


def verb_help(usage: str, summary: str, config: type[Config], only: tuple[str, ...] = ()) -> str:
    """The help text of a verb: usage, groups with their options, and the options that every config has."""
    lines = [summary, "", f"usage: {usage}", ""]
    lines += ["Groups, chosen by group=name:"]
    for group in groups():
        if not only or group in only:
            lines.append(f"  {group}")
            lines += [_entry(f"    {name:<22} ", text) for name, text in group_options(group)]
    if options := list(describe_options(config)):
        lines += ["", "Options, set by key=value (those of a chosen name: --cfg job):"]
        lines += [_entry(f"  {key:<38} ", text) for key, text in options]
    lines += [
        "",
        "Flags: -m key=a,b (many runs), --cfg job (the composed config), --info, --hydra-help, --debug (tracebacks).",
    ]
    return "\n".join(lines)


def _entry(key: str, text: str) -> str:
    """A key and what it is; on a terminal in as many lines as it needs, into a pipe in one."""
    if not sys.stdout.isatty():
        return f"{key}{text}".rstrip()
    wrap = textwrap.TextWrapper(
        shutil.get_terminal_size().columns, initial_indent=key, subsequent_indent=" " * len(key), break_on_hyphens=False
    )
    return "\n".join(wrap.wrap(text)) or key.rstrip()
