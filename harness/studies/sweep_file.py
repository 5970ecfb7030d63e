"""From a sweep file to a `Sweep`: what its keys may hold, and where it is found."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from harness.config import plugin_config
from harness.errors import UserError, standing_in, suggest
from harness.planning.named import split
from harness.plugins import sweep_folder
from harness.schema import ROLES
from harness.studies.overrides import values_of
from harness.studies.sweep import Stage, Sweep

KEYS = ("question", "base", "axes", "zip", "variants", "best_of", "stages", "analyses")
STAGE_KEYS = ("parents", "base", "axes", "zip")


def load_sweep(name: str) -> Sweep:
    """By name from ``./sweeps`` or from those that come with the harness, or by path. Raises UserError."""
    import yaml

    path = _find(name)
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not YAML: {_fault(error)}") from None
    if values is None:
        raise UserError(f"{path} is empty: a sweep says what its runs are, as in base: [experiment=tiny].")
    _check_keys(str(path), values, KEYS)
    listed = _list(str(path), "analyses", values)
    with standing_in(str(path)):
        analyses = [plugin_config("analysis", a, f"analyses[{i}]") for i, a in enumerate(listed)]
    grid, best_of = _grid(str(path), path.stem, values), _lists(str(path), "best_of", values)
    if both := sorted(best_of.keys() & (grid["axes"].keys() | grid["zip"].keys())):
        raise UserError(f"{path}: {both[0]} stands under best_of and under axes or zip. Keep one of them.")
    if values.get("stages") and (tuned := [key for key in ("variants", "best_of") if values.get(key)]):
        raise UserError(f"{path}: {tuned[0]} and stages do not go together. Vary stages by axes of theirs.")
    return Sweep(
        **grid,
        variants=_variants(path, {*grid["axes"], *best_of}, values.get("variants") or {}),
        best_of=best_of,
        question=" ".join(str(values.get("question", "")).split()),
        stages=_stages(path, values.get("stages") or {}),
        analyses=tuple(analyses),
        file=str(path),
        text=text,
    )


def _fault(error: Exception) -> str:
    """In one line, with its place where one is known."""
    place, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if place is None or not problem:
        return str(error)
    return f"line {place.line + 1}, column {place.column + 1}: {problem}."


def _check_keys(where: str, values: Any, keys: Sequence[str]) -> None:
    if not isinstance(values, dict):
        raise UserError(f"{where} must be a mapping with {', '.join(keys)}.")
    for key in values:
        if key not in keys:
            what = "a sweep" if keys == KEYS else "a stage"
            raise UserError(f"{where}: {key} is not a key of {what}. {suggest(key, keys)}")


def _grid(where: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
    axes, side = _lists(where, "axes", values), _lists(where, "zip", values)
    if len({len(v) for v in side.values()}) > 1:
        lengths = ", ".join(f"{key} {len(v)}" for key, v in side.items())
        raise UserError(f"{where}: the lists under zip must be of one length; they are {lengths}.")
    if both := sorted(axes.keys() & side.keys()):
        raise UserError(f"{where}: {both[0]} stands under axes and under zip. Keep one of them.")
    return {"name": name, "base": tuple(str(o) for o in _list(where, "base", values)), "axes": axes, "zip": side}


def _variants(path: Path, varied: Container[str], values: Any) -> dict[str, dict[str, list[Any]]]:
    """varied: the keys of which a variant may have several values: those of axes and of best_of."""
    if not isinstance(values, dict):
        raise UserError(f"{path}: variants must map the name of each to a list of overrides.")
    found = {}
    for name in values:
        own = dict(values_of(str(override)) for override in _list(f"{path}: variants", name, values))
        for key, several in own.items():
            if len(several) > 1 and key not in varied:
                raise UserError(
                    f"{path}: variants.{name} gives {key} {len(several)} values, and a variant is one condition. Make "
                    "variants of them, or put the key under axes or best_of."
                )
        found[str(name)] = own
    return found


def _stages(path: Path, values: Any) -> tuple[Stage, ...]:
    if not isinstance(values, dict):
        raise UserError(f"{path}: stages must map the name of each stage to its {', '.join(STAGE_KEYS)}.")
    found: dict[str, Stage] = {}
    for name, stage in values.items():
        where, stage = f"{path}: stages.{name}", stage or {}
        _check_keys(where, stage, STAGE_KEYS)
        parents = stage.get("parents") or {}
        if not isinstance(parents, dict):
            raise UserError(f"{where}: parents must map roles to stages, as in continue: trunk.")
        for role, given in parents.items():
            if role not in ROLES:
                raise UserError(f"{where}: {role} is no role of a parent. {suggest(role, ROLES)}")
            for parent in given if isinstance(given, list) else [given]:
                if split(str(parent))[0] not in found:
                    raise UserError(f"{where}: {parent} is no stage before it. {suggest(str(parent), found)}")
        several = {f"parents.{role}": given for role, given in parents.items() if isinstance(given, list)}
        one = {role: str(given) for role, given in parents.items() if not isinstance(given, list)}
        varied = {**stage, "axes": {**several, **(stage.get("axes") or {})}} if several else stage
        found[name] = Stage(**_grid(where, str(name), varied), parents=one)
    return tuple(found.values())


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise UserError(f"There is no sweep file {name}.")
    for folder in _folders():
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = suggest(name, sweep_names())
    raise UserError(f"There is no sweep named {name}. {known} A path that ends in .yaml also works.")


def _folders() -> list[Path]:
    return [Path("sweeps"), sweep_folder()]


def sweep_names() -> list[str]:
    """The sweeps that are known by name: those in ``./sweeps`` and those that come with the harness."""
    return sorted({file.stem for folder in _folders() for file in folder.glob("*.yaml")})


def _list(where: object, key: str, values: dict[str, Any]) -> list[Any]:
    found = values.get(key) or []
    if not isinstance(found, list):
        raise UserError(f"{where}: {key} must be a list.")
    return found


def _lists(where: str, key: str, values: dict[str, Any]) -> dict[str, list[Any]]:
    found = values.get(key) or {}
    if not isinstance(found, dict) or not all(isinstance(v, list) and v for v in found.values()):
        raise UserError(f"{where}: {key} must map each key to a list of values, as in seed: [0, 1, 2].")
    return {str(k): v for k, v in found.items()}
