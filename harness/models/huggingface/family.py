"""What one model type of `transformers` is, told as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError, suggest

OUR_TOKENS, OUR_HEAD, THEIR_HEAD = "body.tokens.weight", "heads.language_model.weight", "lm_head.weight"


@dataclass(frozen=True)
class Row:
    """One tensor of theirs and ours that are stacked in it, mostly one. transposed: their Conv1D keeps the matrix the
    other way round."""

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False


@dataclass(frozen=True)
class Family:
    """A model type of theirs.

    parts: the plugins that it is made of, by kind. positions: their option for the longest sequence. prefix: of every
    name but the head's; tokens: their embedding table. values, config: between their config and the values of ours.
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


def activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise UserError(f"The activation {name} has no counterpart here. {suggest(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]


#: Theirs to ours; the first of several is the one that is written.
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "relu2": "squared_relu",
    "silu": "silu",
    "swish": "silu",
}
THEIR_ACTIVATIONS = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
