"""Whether a run can go on with another: the same model, optimizer and stream."""

from __future__ import annotations

from typing import Any

from harness.config import ConfigError
from harness.identity import flat_difference
from harness.planning.named import Named, same_tokenizer
from harness.schema import CurriculumConfig, RunConfig

#: What a continued run shares with its parent: the model, the optimizer, the stream, and every source of chance.
HELD = ("architecture", "optimizer", "seeds")
HELD_DATA = ("data.batch_size", "data.sequence_length")


def check_continue(
    config: RunConfig, data: str, vocabulary: int, steps: int, run: Named, step: int, inherits: bool
) -> None:
    if step == 0:
        raise ConfigError("a quantized or an imported run has weights only, no optimizer's state. Say parents.init.")
    if run.config.adapter:
        raise ConfigError(
            f"it trained adapter={run.config.adapter.name} and has no state of a whole model. Say parents.init, which "
            "takes the model with the adapter merged."
        )
    if run.config.data.curriculum != CurriculumConfig():
        raise ConfigError("it has a curriculum, whose stages are shares of its own steps. Say parents.init.")
    ours, theirs = config.with_seeds(), run.config.with_seeds()
    differs = _differences(ours, theirs) or {"vocabulary": (vocabulary, run.vocabulary)}
    key, (here, there) = next(iter(differs.items()))
    if here != there:
        raise ConfigError(
            f"{key} is {_said(here)} here and {_said(there)} there, but a continued run goes on with the same model, "
            "optimizer, batch and seeds. The schedule, the budget and the corpus may be others; for anything else say "
            "parents.init."
        )
    if data != run.data and not inherits and not same_tokenizer(ours, run):
        raise ConfigError(
            "this corpus gives another tokenizer than the parent's. Give both runs one that is not trained on the "
            "corpus: tokenizer=bytes, or tokenizer=huggingface with tokenizer.folder=<folder>."
        )
    if step >= steps:
        raise ConfigError(
            f"the parent is at step {step}, and this run's budget ends at step {steps}. The budget counts from the "
            "beginning, the parent's steps included: give it more."
        )


def _differences(ours: RunConfig, theirs: RunConfig) -> dict[str, tuple[Any, Any]]:
    """What both must share and do not: here and there, by key."""
    found = {
        f"{part}.{key}": pair
        for part in HELD
        for key, pair in flat_difference(getattr(ours, part), getattr(theirs, part)).items()
    }
    held = {key: (_at(ours, key), _at(theirs, key)) for key in HELD_DATA}
    here, there = (", ".join(one.extra_tokens) or None for one in (ours, theirs))
    held["the objective's set of own tokens"] = here, there
    return found | {key: pair for key, pair in held.items() if pair[0] != pair[1]}


def _said(value: Any) -> str:
    return "not set" if value is None else str(value)


def _at(config: Any, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)
