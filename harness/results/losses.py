"""Which runs' losses are values of one thing, so that they can be subtracted, ranked and fitted."""

from __future__ import annotations

import json
from typing import Any

from harness.results.columns import Row, at, loss_in
from harness.results.rows import read_manifest
from harness.rundir import RunDir

#: What can be compared instead.
INSTEAD = (
    "what can be compared are bits per byte and other scores on the same samples, and suite=stages, with the corpora "
    "that suite.text, suite.answers and suite.preferences name, asks both runs the same"
)


def why_unlike(a: Row, b: Row) -> str:
    """One sentence where the losses of two runs are no two values of one thing, else empty: those of another method,
    of other options of it, or of other data or tokens. a, b: manifests with their configs."""
    if None in (at(a, "result.train_loss"), at(b, "result.train_loss")):  # nothing was trained, or is yet
        return ""
    one, other = _method(a), _method(b)
    if one["name"] != other["name"]:
        differ = f"a's is that of {_told(a)} and b's that of {_told(b)}"
    elif one != other:
        differ = f"{one['name']} has other options in a ({_options(one, other)}) than in b ({_options(other, one)})"
    elif at(a, "identity.data") != at(b, "identity.data"):
        differ = "the corpus, what is held out of it, or the tokenizer is another one"
    else:
        return ""
    return f"No difference of losses and measures is shown, since {differ}; {INSTEAD}."


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


def _told(run: Row) -> str:
    return f"{_method(run)['name']} ({loss_in(run) or 'in what is not known here'})"


def _options(of: dict[str, Any], beside: dict[str, Any]) -> str:
    differing = {key: value for key, value in of.items() if value != beside.get(key)}
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in differing.items()) or "none"
