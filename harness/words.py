"""What a person says, group=name and key=value, in the words that Hydra reads."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.config import ConfigError
from harness.help import group_of, groups, kind_of, place_of, slot_group
from harness.hookspecs import KINDS
from harness.registry import METHODS, is_name, registry

#: The choice of nothing.
NONE = "null"

_IDS = re.compile(r"(run|parents\.\w+)=")


def all_groups() -> list[str]:
    """Every group, also one of a kind that no plugin has."""
    return list(dict.fromkeys([*map(group_of, KINDS), *groups()]))


def for_hydra(words: Sequence[str]) -> list[str]:
    """``group=null`` means none of the group, which Hydra writes as ``~group``. An objective and an alignment take each
    other's place, and a part stands where what it is a part of does. An id is text, though Hydra would read
    12345e678901 as a number, and so is a preset's name. What this returns it leaves as it is. Raises ConfigError where
    an objective and an alignment are both chosen."""
    known = all_groups()
    found = [_choice(word, known) for word in with_one_method(words)]
    return [re.sub(r"(?<=[=,])[0-9a-f]+(@\d+)?(?=,|$)", r"'\g<0>'", w) if _IDS.match(w) else w for w in found]


def _choice(word: str, known: Sequence[str]) -> str:
    key, _, names = word.partition("=")
    key = key if key.partition("@")[0] in known and "@" in key else placed(key)
    if key.partition("@")[0] not in known:
        return word
    if names.strip("'") == NONE:
        return f"~{key}"
    if not re.fullmatch(r"[\w.+:-]+(,[\w.+:-]+)*", names):
        return f"{key}={names}"
    kind = kind_of(key.partition("@")[0])
    chosen = [registry().shortest(kind, name) for name in names.split(",")]
    return f"{key}={','.join(name if is_name(name) else repr(name) for name in chosen)}"


def placed(key: str) -> str:
    """The key of a part's choice with Hydra's own word for where it stands; any other as it is.

    >>> placed("architecture/feedforward/expert")
    'architecture/feedforward@architecture.feedforward.expert'
    >>> placed("alignment/reward"), placed("architecture/norm")
    ('alignment/reward@method.reward', 'architecture/norm')
    """
    group = slot_group(key)
    return key if group is None or place_of(key) == group.replace("/", ".") else f"{group}@{place_of(key)}"


def with_one_method(words: Sequence[str]) -> list[str]:
    """Of objective and alignment the one that is chosen; the other is taken out, whoever chose it."""
    chosen: dict[str, str] = {}
    rest = []
    for word in words:
        key, _, name = word.partition("=")
        if key.lstrip("~") not in METHODS or word in METHODS:  # a bare word, which Hydra refuses
            rest.append(word)
        else:
            chosen[key.lstrip("~")] = NONE if key.startswith("~") else name.strip("'")
    if any("," in name for name in chosen.values()):
        return list(words)  # many runs: the words of each come here again
    names = [f"{key}={chosen[key]}" for key in METHODS if chosen.get(key, NONE) != NONE]
    if len(names) > 1:
        raise ConfigError(both_methods(*names))
    if names:
        chosen = {**dict.fromkeys(METHODS, NONE), **chosen}
    return [*rest, *(f"{key}={name}" for key, name in chosen.items())]


def both_methods(objective: str, alignment: str) -> str:
    """The sentence that refuses them."""
    return f"{objective} and {alignment} are both chosen, and an alignment takes the objective's place: keep one."
