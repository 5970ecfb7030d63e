"""Overrides of a sweep, on a command line or in a variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.config import ConfigError
from harness.errors import UserError, suggest
from harness.registry import METHODS
from harness.studies.sweep import Sweep, key_of


def with_overrides(sweep: Sweep, overrides: Sequence[str]) -> Sweep:
    """The sweep with its base changed. An override of what the sweep varies takes its place (``seed=0,1,2`` is a list);
    one with several values becomes an axis; ``variants=a,b`` leaves the others out. Raises UserError for what single
    stages set: which is meant?"""
    axes, side, base = dict(sweep.axes), dict(sweep.zip), list(sweep.base)
    best_of, variants = dict(sweep.best_of), sweep.variants
    for override in overrides:
        key, values = values_of(override)
        if key == "variants":
            variants = _chosen(sweep, values)
            continue
        if setting := [stage.name for stage in sweep.stages if stage.is_own(key)]:
            raise UserError(f"{key} is set by the stages {', '.join(setting)} of {sweep.name}. Change it in its file.")
        if key in METHODS and values != [None]:  # an objective and an alignment take each other's place
            base = [kept for kept in base if key_of(kept) not in METHODS]
        if key in best_of:
            best_of[key] = values
        elif key in axes or key in side or len(values) > 1:
            side.pop(key, None)
            axes[key] = values
        else:
            base.append(override)
    return replace(sweep, base=tuple(base), axes=axes, zip=side, best_of=best_of, variants=variants)


def _chosen(sweep: Sweep, names: Sequence[Any]) -> dict[str, dict[str, list[Any]]]:
    """The variants of these names, in this order."""
    for name in names:
        if name not in sweep.variants:
            raise UserError(f"{name} is no variant of {sweep.name}. {suggest(str(name), sweep.variants)}")
    return {name: sweep.variants[name] for name in names}


def values_of(override: str) -> tuple[str, list[Any]]:
    """The key of an override and its values, by Hydra's grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(override)
        values = list(parsed.sweep_iterator()) if parsed.is_sweep_override() else [parsed.value()]
    except HydraException as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{override} is not key=value, or key=value,value,…: {said}.") from None
    return parsed.key_or_group, [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """A parsed value without Hydra's quotes."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return getattr(value, "text", value)
