"""harness plugins: what is installed, and how it does; and the beginning of a new one."""

from __future__ import annotations

import json
from pathlib import Path

from harness.cli import Verb
from harness.errors import UserError, suggest
from harness.help import group_options
from harness.hookspecs import KINDS
from harness.plugins import load
from harness.registry import METHODS, is_name, registry
from harness.scaffold import Distribution, write
from harness.verbs.arguments import asks_help, flags, only, settings

COLUMNS = ("kind", "name", "version", "from", "health")


def plugins(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(f"{verb.summary}\n\nusage: {verb.usage}\n")
        print(f"new: write a distribution whose tests pass as written. Kinds: {', '.join(KINDS)}.")
        print("matrix: try all pairings of plugins in tiny, or say why they cannot be; kind=name: those with this one.")
        return 0
    if words[:1] == ["new"]:
        return new(words[1:])
    if words[:1] == ["matrix"]:
        from harness.verbs.matrix import matrix

        return matrix(words[1:])
    given, rest = flags(words, ["--json"])
    only(rest, ("new", "matrix"))
    rows = [
        {"kind": kind, "name": name, "version": p.version, "from": p.distribution, "health": p.error or "healthy"}
        for p in load().found
        for kind, name in (p.registered or [("-", p.name)])
    ]
    if "--json" in given:
        print(json.dumps(rows, indent=1))
        return 0
    lines = [COLUMNS, *sorted(tuple(row[key] for key in COLUMNS) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
    if not rows:
        print("No plugin is loaded: none is installed, or HARNESS_PLUGINS=none turns all off.")
    return 0


def new(words: list[str]) -> int:
    """Writes a distribution that works, for its author to change."""
    told, rest = settings(words, {"to": ""})
    _, rest = flags(rest, [])
    if len(rest) != 2:
        raise UserError(f"harness plugins new needs a kind and a name, two words; found {' '.join(rest) or 'none'}.")
    kind, name = rest
    _refuse(kind, name)
    made = Distribution(kind, name)
    folder = Path(told["to"] or made.title).expanduser()
    write(made, folder)
    print(f"Written: {folder}\n" + "\n".join(f"  {path}" for path in made.files()))
    print(f"\nNext:\n  cd {folder}\n  pip install -e .\n  pytest\n  {made.use}")
    return 0


def _refuse(kind: str, name: str) -> None:
    """Raises UserError where there is no such kind, the name is none, or somebody owns it."""
    if kind not in KINDS:
        raise UserError(f"There is no kind of plugin named {kind}. {suggest(kind, KINDS)}")
    if not is_name(name):
        raise UserError(
            f"{name} is no name: a name is a letter and then letters, digits, _ and -, and no word that YAML reads as "
            "a value, such as null, true or nan."
        )
    clashing = METHODS if kind in METHODS else (kind,)  # both fill one field
    owners = [owner for of in clashing for owner in registry().entries.get((of, name), [])]
    if owners:
        raise UserError(
            f"{owners[0].kind}={name} is owned by {owners[0].distribution} already, and a name with two owners has to "
            "be said in full each time: choose another name."
        )
    if name in dict(group_options("experiment")):  # the name of the preset that comes with it
        raise UserError(f"experiment={name} is a preset already: choose another name.")
