"""Which runs follow on which: the steps from one stage of a chain to the next, each with its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.rundir import RunDir


@dataclass(frozen=True)
class Step:
    """One stage after another. label: of the later one; before: of the earlier. pairs: (run, the run that it starts
    from), which differ in their seeds only."""

    label: str
    before: str
    pairs: list[tuple[RunDir, RunDir]]

    @property
    def title(self) -> str:
        seeds = f"{len(self.pairs)} seeds" if len(self.pairs) > 1 else "one seed"
        return f"{self.before} → {self.label}, {seeds}"


def steps_of(runs: Sequence[RunDir], names: Mapping[str, str]) -> list[Step]:
    """Each kind of step from one stage to the next, in the order of the runs."""
    manifests = {run.id: run.manifest() for run in runs}
    by_id = {run.id: run for run in runs}
    found: dict[str, Step] = {}
    for run in runs:
        parent, _ = start_of(manifests[run.id])
        if parent in by_id:
            kind = _kind(manifests[run.id], manifests)
            if kind not in found:
                label, before = _label(run, names), _label(by_id[parent], names)
                told = any((step.label, step.before) == (label, before) for step in found.values())
                found[kind] = Step(f"{label} ({run.id})" if told else label, before, [])
            found[kind].pairs.append((run, by_id[parent]))
    return list(found.values())


def start_of(manifest: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The id of the run whose weights a run begins with, and the step of its checkpoint."""
    name, _, step = str(manifest.get("identity", {}).get("parents", {}).get("init") or "").partition("@")
    return name or None, int(step) if step.isdigit() else None


def _kind(manifest: Mapping[str, Any], manifests: Mapping[str, Any]) -> str:
    """Equal for runs that differ in nothing but seeds, their parents included."""
    identity = manifest["identity"]
    config = {key: value for key, value in identity["config"].items() if key != "seeds"}
    parents = {
        role: [_kind(manifests[name], manifests), step] if name in manifests else text
        for role, text in identity.get("parents", {}).items()
        for name, _, step in [str(text).partition("@")]
    }
    return repr({**identity, "config": config, "parents": sorted(parents.items())})


def _label(run: RunDir, names: Mapping[str, str]) -> str:
    config = run.config()
    return names.get(run.id) or (config.get("method") or config.get("quantizer") or {}).get("name", run.id)
