"""What one model type of `transformers` is, told as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError, suggest

OUR_TOKENS, OUR_HEAD, THEIR_HEAD = "body.tokens.weight", "heads.language_model.weight", "lm_head.weight"


@dataclass(frozen=True)
class Row:
    """One tensor of theirs and ours that are stacked in it, mostly one. transposed: their Conv1D keeps the matrix the
    other way round. heads: so many, where what is stacked stands head by head."""

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False
    heads: int | None = None


@dataclass(frozen=True)
class Family:
    """A model type of theirs.

    parts: the plugins that it is made of, by kind, and options that its tensors are there for. positions: their option
    for the longest sequence. prefix: of every name but the head's; tokens: their embedding table. values, config:
    between their config and the values of ours.
    rows: every tensor.
    """

    parts: Mapping[str, str]
    positions: str
    prefix: str
    tokens: str
    values: Callable[[Mapping[str, Any]], dict[str, Any]]
    config: Callable[[Any], dict[str, Any]]
    rows: Callable[[Any], Iterator[Row]]


def whole(theirs: Mapping[str, Any], name: str) -> int:
    """One of their options that is a number of things. Raises UserError where it is missing or none."""
    value = theirs.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        found = f"{name}={value!r}, where a whole number should be" if name in theirs else f"no {name}"
        raise UserError(f"The config of this {theirs['model_type']} has {found}.")
    return value


def refuse(theirs: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raises UserError where one of their options has another value than the only one we have."""
    for name, only in options.items():
        if theirs.get(name, only) != only:
            raise UserError(f"{theirs['model_type']} with {name}={theirs[name]} has no counterpart here, only {only}.")


def windows(window: int | None, kinds: Sequence[str], attention: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ours for layers of their kinds, of which those named sliding_attention see a window of so many
    places. attention: the values of all of them.

    Raises UserError for another kind than this and full_attention.
    """
    local = {"sliding_attention": True, "full_attention": False}
    for kind in kinds:
        if kind not in local:
            raise UserError(f"A layer of {kind} has no counterpart here, only {' and '.join(local)}.")
    if len(set(kinds)) == 1:
        return {"attention": {**attention, "window": window if local[kinds[0]] else None}}
    names = ["local" if local[kind] else "global" for kind in kinds]
    period = next(n for n in range(1, len(names) + 1) if all(names[i] == names[i % n] for i in range(len(names))))
    blocks = {"local": {"attention": {"window": window}}, "global": {}}
    return {"attention": attention, "blocks": blocks, "pattern": names[:period]}


def layer_types(config: Any) -> dict[str, Any]:
    """Their options of our layers' windows, of which they know but one."""
    found = [block.attention.window for block in config.layer_blocks()]
    kinds = ["full_attention" if window is None else "sliding_attention" for window in found]
    return {"layer_types": kinds, "sliding_window": next((window for window in found if window), None)}


def activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise UserError(f"The activation {name} has no counterpart here. {suggest(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]


#: Theirs to ours; the first of several is the one that is written.
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "relu2": "squared_relu",
    "silu": "silu",
    "swish": "silu",
}
THEIR_ACTIVATIONS = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
