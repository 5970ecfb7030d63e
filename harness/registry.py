"""kind × name → Config class."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field

from harness.errors import UserError, suggest

#: What the two kinds that turn data and model into a loss are called together.
METHOD, METHODS = "method", ("objective", "alignment")


class NoSuchPlugin(UserError):
    """Nobody owns a name of a kind."""

    def __init__(self, message: str, kind: str = "", name: str = "") -> None:
        super().__init__(message)
        self.kind, self.name = kind, name


#: Words that YAML or Hydra read as a value.
VALUES = ("null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf")


def is_name(word: str) -> bool:
    """Whether a plugin may be called so: what reads as text wherever it is written."""
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", word)) and word.lower() not in VALUES


@dataclass(frozen=True)
class Entry:
    """One registered Config class and the plugin that brought it."""

    kind: str
    name: str
    config: type
    distribution: str
    version: str


@dataclass
class Registry:
    """What all healthy plugins have registered, by kind and name. A name that two distributions own is
    reached as ``distribution:name`` only."""

    entries: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)  #: one sentence for each plugin that did not load

    def add(self, entry: Entry) -> None:
        self.entries.setdefault((entry.kind, entry.name), []).append(entry)

    def names(self, kind: str) -> list[str]:
        """The names by which something of this kind can be chosen."""
        if kind == METHOD:
            return sorted(name for of in METHODS for name in self.names(of))
        found = []
        for (of_kind, name), owners in self.entries.items():
            if of_kind == kind:
                found += [name] if len(owners) == 1 else [f"{owner.distribution}:{name}" for owner in owners]
        return sorted(found)

    def entry(self, kind: str, name: str) -> Entry:
        """kind: also `method`, which is an objective or an alignment. Raises UserError if nobody, or more than one
        distribution, owns the name."""
        if kind == METHOD:
            kinds = [of for of in METHODS if name in self.names(of)]
            if len(kinds) > 1:
                raise UserError(f"{name} is an objective and an alignment: one of the plugins needs another name.")
            kind = kinds[0] if kinds else METHOD
        distribution, _, bare = name.rpartition(":")
        owners = [e for e in self.entries.get((kind, bare), []) if distribution in ("", e.distribution)]
        if len(owners) == 1:
            return owners[0]
        if owners:
            raise UserError(self.clash(kind, bare))
        told = f"There is no {kind} named {name}. {suggest(name, self.names(kind))}{self.trouble()}"
        raise NoSuchPlugin(told, kind, name)

    def clash(self, kind: str, name: str) -> str:
        """The sentence that refuses a name which more than one distribution owns."""
        either = " or ".join(f"{owner.distribution}:{name}" for owner in self.entries[kind, name])
        return f"{kind}={name} is owned by more than one distribution. Choose {either}."

    def shortest(self, kind: str, name: str) -> str:
        """The name without the distribution that it may have been said with, where nobody else owns it."""
        distribution, _, bare = name.rpartition(":")
        owners = [owner.distribution for owner in self.entries.get((kind, bare), [])]
        return bare if owners == [distribution] else name

    def get(self, kind: str, name: str) -> type:
        return self.entry(kind, name).config

    def trouble(self) -> str:
        """What a sentence about a missing name should add: no plugin is loaded, or some did not load."""
        if not self.entries:
            return " No plugin is loaded (HARNESS_PLUGINS=none turns all off; `harness plugins` lists them)."
        return f" These plugins did not load and may have owned it: {'; '.join(self.broken)}." if self.broken else ""


@functools.cache
def registry() -> Registry:
    """The registry of this process, filled from the installed plugins at first use."""
    from harness.plugins import load

    return load().registry
