"""What a preset says of a plugin in whose place another was chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.config import fields_of
from harness.help import group_of, kind_of, place_of
from harness.hookspecs import KINDS
from harness.registry import registry


def without_leftovers(composed: Any, words: Iterable[str]) -> None:
    """Where words have chosen a plugin, takes away the options that only others of its kind have: a preset said them of
    its own. What words say of the plugin, and what none of its kind has, is left to be refused."""
    from omegaconf import OmegaConf, open_dict

    said = {word.lstrip("+~").partition("=")[0] for word in words}
    for key in said:
        group, _, place = key.partition("@")
        if group not in {group_of(kind) for kind in KINDS}:
            continue
        kind, place = kind_of(group), place or place_of(group)
        part = OmegaConf.select(composed, place)
        if not part or part.get("name") not in registry().names(kind):
            continue
        known = {name: fields_of(registry().get(kind, name)) for name in registry().names(kind)}
        others = set().union(*known.values()) - set(known[part.name])
        with open_dict(composed):
            for option in others & set(part):
                if not any(f"{other}.".startswith(f"{place}.{option}.") for other in said):
                    del part[option]
