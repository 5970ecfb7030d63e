"""What runs differ in, in few words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.results.rows import leaves

#: What others follow from is named before them: a rung rather than the width, depth and rate that it sets.
FIRST = ("scale", "budget")
LEAST = ("launcher", "runs", "reuse", "retrain")


def told_apart(configs: Sequence[Mapping[str, Any]], beside: Sequence[tuple[Any, ...]] = ()) -> list[str]:
    """What tells each config from the others, in as few keys as do, each by its last word where that is enough.
    beside: of each, what is told already.

    >>> told_apart([{"scale": {"width": w}, "lr": 1 / w, "seed": s} for w, s in [(16, 0), (32, 0), (32, 1)]])
    ['width=16 seed=0', 'width=32 seed=0', 'width=32 seed=1']
    """
    flat = [{key: _text(value) for key, value in leaves(config)} for config in configs]
    values: dict[str, set[str | None]] = {}
    for key in dict.fromkeys(key for config in flat for key in config if key.split(".")[0] not in LEAST):
        values[key] = {config.get(key) for config in flat}
    varied = sorted((k for k in values if len(values[k]) > 1), key=lambda key: key.split(".")[0] not in FIRST)
    told: list[tuple[Any, ...]] = list(beside) or [()] * len(flat)
    named: list[str] = []
    for key in varied:
        finer = [(*before, config.get(key)) for before, config in zip(told, flat, strict=True)]
        if len(set(finer)) > len(set(told)):
            told, named = finer, [*named, key]
    words = short_words(key.removesuffix(".name") for key in named)
    return [
        " ".join(f"{word}={config[key]}" for word, key in zip(words.values(), named, strict=True) if key in config)
        for config in flat
    ]


def short_words(keys: Iterable[str]) -> dict[str, str]:
    """Each key by its last word, or whole where two have the same.

    >>> short_words(["architecture/position", "scale.width", "data.width"])
    {'architecture/position': 'position', 'scale.width': 'scale.width', 'data.width': 'data.width'}
    """
    last = {key: re.split(r"[./]", key)[-1] for key in keys}
    times = Counter(last.values())
    return {key: word if times[word] == 1 else key for key, word in last.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
