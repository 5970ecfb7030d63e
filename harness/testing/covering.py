"""Pairwise covering arrays: few rows in which every value of each factor meets every value of each other one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

#: A value of a factor, and two of them, or one that fits nothing.
Value = tuple[str, Any]
Pair = frozenset[Value]


def covering(
    factors: Mapping[str, Sequence[Any]],
    refused: Callable[[Mapping[str, Any]], str | None],
    around: Collection[str] = (),
) -> tuple[list[dict[str, Any]], dict[Pair, str]]:
    """Rows, each a value of every factor, none of which is refused; and the pairs that stand in no row, each with the
    sentence why: whatever one other factor is, nothing with it is possible. A value that fits nothing is told once, by
    itself.

    factors: values, hashable, by name; the first of each is the plain one. refused: why a row is not possible, or None.
    around: only pairs with one of these factors; empty: all. As in greedy algorithms of the kind of AETG (Cohen et al.
    1997), each row is made around a pair that is missing.
    """
    rows: list[dict[str, Any]] = []
    impossible: dict[Pair, str] = {}
    for value in [(factor, value) for factor, values in factors.items() for value in values]:
        row, why = _around(dict([value]), factors, refused)
        if row is None:
            impossible[frozenset({value})] = why
    fit = {f: [value for value in factors[f] if frozenset({(f, value)}) not in impossible] for f in factors}
    missing = dict.fromkeys(
        frozenset({(f, v), (g, w)})
        for f, g in itertools.combinations(fit, 2)
        if not around or f in around or g in around
        for v in fit[f]
        for w in fit[g]
    )
    while missing:
        pair = next(iter(missing))
        row, why = _around(dict(pair), factors, refused)
        if row is None:
            impossible[pair] = why
            del missing[pair]
            continue
        rows.append(_filled(row, dict(pair), fit, missing, refused))
        for met in _pairs(rows[-1]):
            missing.pop(met, None)
    return rows, impossible


def _around(fixed: Mapping[str, Any], factors: Mapping[str, Sequence[Any]], refused: Any) -> tuple[Any, str]:
    """A row with these values that is possible: all others plain, or all but one; or why there is none."""
    plain = {factor: values[0] for factor, values in factors.items()} | dict(fixed)
    why = refused(plain)
    if why is None:
        return plain, ""
    for factor in factors.keys() - fixed.keys():
        for value in factors[factor][1:]:
            if refused(row := {**plain, factor: value}) is None:
                return row, ""
    return None, why


def _filled(
    row: dict[str, Any], fixed: Mapping[str, Any], factors: Mapping[str, Sequence[Any]], missing: Any, refused: Any
) -> dict[str, Any]:
    """The row with each factor that is not fixed as it meets most of what is missing, one after the other."""
    for factor in (factor for factor in factors if factor not in fixed):
        here = {value: {**row, factor: value} for value in factors[factor]}
        new = {value: sum(pair in missing for pair in _pairs(of)) for value, of in here.items()}
        for value in sorted(here, key=lambda value: -new[value]):
            if value == row[factor] or refused(here[value]) is None:
                row = here[value]
                break
    return row


def _pairs(row: Mapping[str, Any]) -> Iterator[Pair]:
    return map(frozenset, itertools.combinations(row.items(), 2))
