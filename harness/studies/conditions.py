"""What a sweep varies, run by run: its condition, the rung that it stands on, what it is tuned over, and its seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.errors import UserError
from harness.results.varied import short_words
from harness.studies.stages import Made
from harness.studies.sweep import Row, Sweep

#: What a rung of a ladder is told by.
RUNG = ("scale", "scale.width", "architecture.width")


def varied_of(sweep: Sweep, rows: Sequence[Made]) -> dict[str, str]:
    """By run, what is varied in it, in few words: of stages as they call it, else variant, values and seeds."""
    if sweep.stages:
        return {made.plan.id: made.label for made in rows}
    words, values = short_words(_varied(rows)), _varied(rows)
    found: dict[str, str] = {}
    for made in rows:
        told = {words[key]: value for key, value in made.row.items() if _is_told(sweep, made, key) and key in values}
        found.setdefault(made.plan.id, " ".join(filter(None, (made.variant, _in_words(told)))))
    return found


def conditions_of(sweep: Sweep, rows: Sequence[Made]) -> dict[str, Row]:
    """By run: `condition` and `rung`, in words; `tuned`, what its condition is tuned over, value by key; `seeds`, of
    initialisation, data and noise. A condition is what remains of what is varied. Stages have none: they are told apart
    by what each comes from.

    Raises UserError where one run is two variants.
    """
    if sweep.stages:
        return {}
    values, found = _varied(rows), dict[str, Row]()
    words = short_words(values)
    for made in rows:
        parts: dict[str, Row] = {"condition": {}, "rung": {}}
        for key, value in made.row.items():
            if key in values and key not in sweep.best_of and _is_told(sweep, made, key) and not _is_seed(key):
                parts["rung" if _is_rung(key) else "condition"][words[key]] = value
        condition = " ".join(filter(None, (made.variant, _in_words(parts["condition"]))))
        tuned = {words.get(key, key): made.row[key] for key in sweep.best_of}
        seeds = made.plan.config.with_seeds().seeds
        row = {
            "condition": condition,
            "rung": _in_words(parts["rung"]),
            "tuned": tuned,
            "seeds": [seeds.init, seeds.data, seeds.noise],
        }
        before = found.setdefault(made.plan.id, row)
        if made.variant and before["condition"] != condition:
            raise UserError(
                f"The variants {before['condition']} and {condition} of {sweep.name} are one run, {made.plan.id}: "
                "nothing differs. To train the same once more, give it seeds of its own, such as seed=100,101."
            )
    return found


def _varied(rows: Sequence[Made]) -> dict[str, set[str]]:
    """The keys that have several values, or that not every row sets, with their values."""
    values: dict[str, set[str]] = {}
    for made in rows:
        for key, value in made.row.items():
            values.setdefault(key, set()).add(_text(value))
    return {key: found for key, found in values.items() if len(found) > 1 or any(key not in made.row for made in rows)}


def _is_told(sweep: Sweep, made: Made, key: str) -> bool:
    """What a variant sets is told by its name; its seeds are told, as all seeds are."""
    return _is_seed(key) or not made.variant or key not in sweep.variants[made.variant]


def _is_seed(key: str) -> bool:
    return key == "seed" or key.startswith("seeds.")


def _is_rung(key: str) -> bool:
    return key in RUNG or key.startswith("budget.")


def _in_words(values: dict[str, Any]) -> str:
    return " ".join(f"{word}={_text(value)}" for word, value in values.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
