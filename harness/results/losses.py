"""Which runs' losses are values of one thing, so that they can be subtracted, ranked and fitted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from harness.errors import UserError
from harness.registry import METHOD, registry
from harness.results.columns import Row, at, loss_in
from harness.results.rows import read_manifest
from harness.rundir import RunDir

#: What can be compared instead.
INSTEAD = (
    "what can be compared are bits per byte and other scores on the same samples, and suite=stages, with the corpora "
    "that suite.text, suite.answers and suite.preferences name, asks both runs the same"
)


def why_unlike(a: Row, b: Row) -> str:
    """One sentence where the losses of two runs are no two values of one thing (`unlike`), else empty. a, b: manifests
    with their configs."""
    if None in (at(a, "result.train_loss"), at(b, "result.train_loss")):  # nothing was trained, or is yet
        return ""
    differ = unlike(a, b, "a", "b")
    return f"No difference of losses and measures is shown, since {differ}; {INSTEAD}." if differ else ""


def unlike(a: Row, b: Row, name_a: str, name_b: str) -> str:
    """What makes the losses of two runs no two values of one thing, in a clause, else empty: another method, other
    options of it, another run that it leans on, other data or tokens. a, b: manifests of runs that have a method."""
    one, other = _method(a), _method(b)
    if one["name"] != other["name"]:
        return f"{name_a}'s is that of {_told(a)} and {name_b}'s that of {_told(b)}"
    if one != other:
        return (
            f"{one['name']} has other options in {name_a} ({_options(one, other)}) than in {name_b} "
            f"({_options(other, one)})"
        )
    leans_a, leans_b = _leans_on(a), _leans_on(b)
    if leans_a != leans_b:
        return (
            f"{one['name']} leans on another run in {name_a} ({_options(leans_a, leans_b)}) than in {name_b} "
            f"({_options(leans_b, leans_a)})"
        )
    if at(a, "identity.data") != at(b, "identity.data"):
        return "the corpus, what is held out of it, or the tokenizer is another one"
    return ""


def kinds_of_loss(runs: Iterable[Row]) -> list[Row]:
    """The first run of each kind of loss: those of one kind are values of one thing. runs: as `unlike` has them."""
    kinds: list[Row] = []
    for run in runs:
        if all(unlike(kind, run, "", "") for kind in kinds):
            kinds.append(run)
    return kinds


def of_kinds(kinds: list[Row]) -> str:
    """Several kinds in words: how many, of which methods, and what the first two do not share."""
    one, other = kinds[:2]
    told = ", ".join(dict.fromkeys(map(_told, kinds)))
    return f"{len(kinds)} kinds, {told}: {unlike(one, other, one['id'], other['id'])}"


def asked_otherwise(run: RunDir) -> str:
    """One sentence where a run starts from one that was trained on other data, else empty."""
    manifest = run.manifest()
    parent, _, _ = str(at(manifest, "identity.parents.init") or "").partition("@")
    before = read_manifest(run.path.parent / parent) if parent else None
    if before is None or at(before, "identity.data") == at(manifest, "identity.data"):
        return ""
    return (
        f"Run {run.id} was asked what its own data hold out, and {parent}, from which it starts, has other data: "
        f"neither these scores nor the losses tell what it gained. Rather, {INSTEAD}."
    )


def _method(run: Row) -> dict[str, Any]:
    """Its name and those of its options that determine a result."""
    return dict(at(run, "identity.config.method") or at(run, "config.method") or {})


def _leans_on(run: Row) -> dict[str, Any]:
    """The parents beside which its loss is told, by role: what it starts from, where no other is given."""
    parents = at(run, "identity.parents") or {}
    try:
        roles = registry().get(METHOD, _method(run)["name"]).leans_on  # type: ignore[attr-defined]
    except UserError:  # a method that is not installed here
        return {}
    return {role: parents.get(role, parents.get("init")) for role in roles}


def _told(run: Row) -> str:
    return f"{_method(run)['name']} ({loss_in(run) or 'in what is not known here'})"


def _options(of: dict[str, Any], beside: dict[str, Any]) -> str:
    differing = {key: value for key, value in of.items() if value != beside.get(key)}
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in differing.items()) or "none"
