"""A run without a method: all but its quantizer is that of the run whose weights it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import ConfigError
from harness.errors import UserError
from harness.planning.named import named_run, split
from harness.planning.parents import is_transformers
from harness.schema import RunConfig

if TYPE_CHECKING:
    from harness.planning.plan import Plan

#: What a quantized run has of its parent. How that was trained is told with it; it has no influence any more.
TAKEN = ("architecture", "scale", "tokenizer", "data", "optimizer", "schedule", "seed", "seeds")


def as_its_parent(config: RunConfig, planned: Mapping[str, Plan]) -> RunConfig:
    """The config of a run that only quantizes, with what it takes over. planned: runs that will be carried out before
    this one, by id. Raises ConfigError where there is no run to quantize."""
    chosen, text = f"quantizer={config.quantizer.name}", config.parents.get("init")
    if not text or any(given for role, given in config.parents.items() if role != "init"):
        raise ConfigError(f"{chosen} takes the weights of one run: give parents.init=<run>, and no other parent.")
    if is_transformers(Path(text)):
        raise ConfigError(
            f"parents.init={text} is a folder of transformers. `harness import {text}` makes a run of it, which can be "
            "quantized."
        )
    try:
        run = named_run(split(text)[0], config.runs, planned)
    except UserError as error:
        raise ConfigError(f"parents.init={text}: {error}") from None
    if run.config.quantizer:
        raise ConfigError(f"parents.init={text} is quantized already, by quantizer={run.config.quantizer.name}.")
    if run.config.method.likelihood is None and config.suite is not None:
        raise ConfigError(f"parents.init={text} gives no likelihoods, and quantized neither: say suite=null.")
    taken = {name: getattr(run.config, name) for name in TAKEN}
    if not run.planned:
        taken["tokenizer"] = run.config.tokenizer.of_run(run.dir.path / "tokenizer")
    if run.config.extra_tokens:  # of a run without a method the config has no names for them
        taken["architecture"] = replace(run.config.architecture, vocabulary=run.vocabulary)
    taken["data"] = replace(run.config.data, retrain_tokenizer=False)
    return replace(config, **taken, trainer=replace(config.trainer, precision=run.config.trainer.precision))
