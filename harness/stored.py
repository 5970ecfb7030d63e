"""The config of a stored run, what its model gives, and what is said where a plugin that made it is not here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.config import from_mapping
from harness.errors import UserError
from harness.interfaces.likelihood import Asked, Row
from harness.interfaces.tokenizer import extra_tokens
from harness.registry import METHOD, METHODS, NoSuchPlugin, registry
from harness.rundir import RunDir
from harness.schema import RunConfig


def stored_config(run: RunDir, **other: Any) -> RunConfig:
    """A run's config, with other values where some are given. Raises UserError where a plugin that it names is not
    here: the kind and the name, and the distribution that the manifest names."""
    try:
        return from_mapping(RunConfig, {**run.config(), **other})
    except NoSuchPlugin as missing:
        kind = " or ".join(METHODS) if missing.kind == METHOD else missing.kind
        raise UserError(
            f"Run {run.id} was made with the {kind} {missing.name}, which no plugin here has. {_whence(run)} "
            f"`harness results`, `status` and `diff` show the run without it.{registry().trouble()}"
        ) from None


def likelihood_of(run: RunDir) -> str | None:
    """The kind of likelihood that its model gives, None: it gives none. Older runs' manifests leave it to the
    config."""
    said = run.manifest().get("model", {})
    return said["likelihood"] if "likelihood" in said else stored_config(run).method.likelihood


def writes(run: RunDir) -> bool:
    """Whether its model goes on with a text, token by token, as far as its method says. Older runs' manifests leave it
    to the config."""
    said = run.manifest().get("model", {})
    if "writes" in said:
        return bool(said["writes"])
    method = stored_config(run).method
    return method is None or bool(method.writes())


def own_tokens(run: RunDir) -> dict[str, int]:
    """The numbers of the tokens of its method, or of that of the run which it quantizes, by name. Older runs' manifests
    leave them to the config."""
    said = run.manifest().get("model", {})
    if "extra_tokens" in said:
        return dict(said["extra_tokens"])
    config, kept = stored_config(run), run.path / "tokenizer"
    names = config.extra_tokens
    return extra_tokens(config.tokenizer.of_run(kept), config.tokenizer.load(kept).size, names) if names else {}


def opening(run: RunDir, model: Any, tokenizer: Any, config: RunConfig) -> Callable[[Sequence[int]], Row]:
    """How its model begins to go on with a context, as its likelihood says."""
    name = likelihood_of(run) or "causal"
    asked = Asked(
        tokenizer=tokenizer, length=config.data.sequence_length, extra=own_tokens(run), topology=model.topology
    )
    likelihood: Any = registry().get("likelihood", name)(name=name).build(asked)
    begins: Callable[[Sequence[int]], Row] = likelihood.opening
    return begins


def _whence(run: RunDir) -> str:
    """Which distributions the manifest names that are not here; all of them, with their versions, where all are."""
    here = {owner.distribution for owners in registry().entries.values() for owner in owners}
    named = {name: v for name, v in run.manifest().get("code", {}).get("versions", {}).items() if name != "harness-lm"}
    missing = {name: version for name, version in named.items() if name not in here} or named
    if "HARNESS_PLUGINS" in missing:
        return "It came from a module that HARNESS_PLUGINS named: name it again."
    if not missing:
        return "Its manifest names no distribution but harness-lm."
    listed = " and ".join(f"{name} {version}" for name, version in sorted(missing.items()))
    return f"Its manifest names {listed}: install that."
