"""From a sweep to the configs of its runs: composed once for each choice, and set by type from there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from harness.composition import compose, typed
from harness.config import replace_at
from harness.errors import standing_in
from harness.help import groups, slot_group
from harness.schema import RunConfig
from harness.studies.sweep import Row, Sweep


def expand(sweep: Sweep) -> list[RunConfig]:
    """One config for each row of a sweep without stages."""
    assert not sweep.stages, "harness.studies.stages knows them"
    named = sweep.named_rows()
    return configs(sweep.base, [row for _, row in named], [sweep.where(name) for name, _ in named])


def configs(base: Sequence[str], rows: Sequence[Row], where: Sequence[str]) -> list[RunConfig]:
    """One config for each row. Hydra composes once for each choice of groups and of what other values are computed
    from (such as ``${scale.width}``); everything else is set by type from there. where: each row stands, for messages.
    """
    compositions: dict[str, Any] = {}
    made: dict[str, RunConfig] = {}
    known, found = set(groups()), []

    def composed(values: dict[str, Any]) -> str:
        at = json.dumps(values, sort_keys=True, default=str)
        if at not in compositions:
            compositions[at] = compose([*base, *(_override(key, v) for key, v in values.items())])
        return at

    def config_of(row: Row) -> RunConfig:
        groups_of = {key for key in row if key in known or slot_group(key)}
        start = compositions[composed({key: value for key, value in row.items() if key in groups_of})]
        chosen = {key: value for key, value in row.items() if key in groups_of or _needed(start, key)}
        at = composed(chosen)
        if at not in made:
            made[at] = cast(RunConfig, typed(compositions[at]))
        config = made[at]
        for key, value in row.items():
            if key not in chosen:
                config = _with(config, key, value)
        return config

    for row, place in zip(rows, where, strict=True):
        with standing_in(place):
            found.append(config_of(row))
    return found


def _with(config: RunConfig, key: str, value: Any) -> RunConfig:
    """A copy with another value at a key; of a mapping, such as parents, the other entries stay."""
    place, _, name = key.rpartition(".")
    if isinstance(mapping := getattr(config, place, None), dict):
        return replace_at(config, place, {**mapping, name: value})
    return replace_at(config, key, value)


def _needed(composed: Any, key: str) -> bool:
    """Whether a composition refers to a key, or cannot do without its value."""
    from omegaconf import OmegaConf

    place, _, name = key.rpartition(".")
    node = OmegaConf.select(composed, place) if place else composed
    return f"${{{key}}}" in str(composed) or (OmegaConf.is_dict(node) and OmegaConf.is_missing(node, name))


def _override(key: str, value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float)):
        return f"{key}={json.dumps(value)}"
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"
