"""Resolves a config into one run: vocabulary, whole steps, parameters, FLOPs, memory, hours, id."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.config import ConfigError, to_mapping
from harness.data import curriculum
from harness.data.dataset import Dataset, fingerprint, prepare
from harness.files import CHECKSUMS, checksum
from harness.identity import identity, run_id
from harness.interfaces.method import MethodConfig, Places
from harness.interfaces.tokenizer import extra_tokens, vocabulary_with
from harness.models.counting import Account, account
from harness.planning.fitting import fits
from harness.planning.parents import inherited_tokenizer, leaned_on, resolve_parents, teachers
from harness.planning.quantized import as_its_parent
from harness.planning.trained import trained_parameters, training_flops
from harness.schema import STARTS, CurriculumConfig, RunConfig
from harness.training.job import Parent

#: Share of the machine's peak that `hours` assumes where no rate is given.
ASSUMED_MFU = 0.3

#: The ways to say how long to train, of which one is taken.
BUDGETS = ("steps", "epochs", "tokens", "flops")

#: Training tokens of one run, at most.
MOST_TOKENS = 10**15


@dataclass(frozen=True)
class Plan:
    """One run as it would be carried out. tokens: those of all its steps. Steps, tokens and FLOPs are those
    that the model has seen at the end; those called own, what this run itself costs: all but what it continues."""

    config: RunConfig
    id: str
    identity: dict[str, Any]
    vocabulary: int
    steps: int
    tokens: int
    account: Account
    trained: int  #: parameters that are trained
    training_flops: float  #: of one token, exact, in the mean over a curriculum: see `harness.planning.trained`
    parents: Mapping[str, Parent] = field(default_factory=dict)
    inherited: Path | None = None  #: the folder of a parent's tokenizer that this run uses
    teachers: Sequence[tuple[Any, int]] = ()  #: architecture and vocabulary of each

    def dataset(self, progress: Any = None) -> Dataset:
        return dataset(self.config, progress, self.inherited)

    @property
    def own_steps(self) -> int:
        continued = self.parents.get("continue")
        return self.steps - ((continued.step or 0) if continued else 0)

    @property
    def own_tokens(self) -> int:
        return self.tokens - (self.steps - self.own_steps) * self.config.step_tokens

    @property
    def own_flops(self) -> float:
        return self.training_flops * self.own_tokens

    @property
    def flops(self) -> float:
        """Training FLOPs, exact convention: matrix products, forward, backward, and what the method has besides."""
        return self.training_flops * self.tokens

    @property
    def flops_6nd(self) -> float:
        """Training FLOPs by the rule 6·N·D, N without embeddings; of experts those that a token uses."""
        return float(self.account.six_n(self.account.active_non_embedding)) * self.tokens

    def hours(self, flops_per_second: float) -> float:
        """Of this run itself."""
        return self.own_flops / flops_per_second / 3600


def resolve(config: RunConfig, planned: Mapping[str, Plan] | None = None) -> Plan:
    """Raises ConfigError where parts do not fit together: before anything is started or written.

    planned: runs that will be carried out before this one and may be its parents, by id.
    """
    config = config if config.method else as_its_parent(config, planned or {})
    inherited = inherited_tokenizer(config, planned or {})
    vocabulary = vocabulary_of(config, inherited)
    if config.method:
        fits(config)
    model = account(config.architecture, vocabulary, *places_of(config))
    trained = trained_parameters(config, vocabulary, model.total)
    taught_by = teachers(config, planned or {})
    flops = mean_flops(config, vocabulary, model, taught_by)
    steps = _steps(config, model, flops, inherited)
    if config.data.curriculum.sequence_length and steps:
        flops = mean_flops(config, vocabulary, model, taught_by, steps)
    data = data_fingerprint(config, inherited)
    parents = resolve_parents(config, data, vocabulary, steps, planned or {}, inherited)
    of = {role: parent.identity for role, parent in parents.items()}
    of = {role: said for role, said in of.items() if role in STARTS or said != of.get("init")}  # however it is said
    determined = identity(config, data=data, vocabulary=vocabulary, steps=steps, parents=of)
    if inherited:
        determined["tokenizer"] = checksum(inherited / CHECKSUMS)
    tokens = curriculum.tokens(config, steps, steps)
    parents |= leaned_on(config, parents)  # what it starts from stands in the identity once
    id = run_id(determined)
    return Plan(config, id, determined, vocabulary, steps, tokens, model, trained, flops, parents, inherited, taught_by)


def _steps(config: RunConfig, model: Account, flops: float, inherited: Path | None) -> int:
    """The budget in whole optimizer steps, rounded up. flops: of training, for one token. Raises ConfigError where it
    is said twice, and where it is more than anybody trains."""
    if config.method is None:
        return 0
    budget, step_tokens = config.budget, _mean_step_tokens(config)
    said = [name for name in BUDGETS if getattr(budget, name) is not None][:2]
    if len(said) > 1:
        both = " and ".join(f"budget.{name}={getattr(budget, name)}" for name in said)
        nulls = ", or ".join(f"budget.{name}=null" for name in said)
        raise ConfigError(f"{both} are both set, by a preset perhaps: one says how long to train. Say {nulls}.")
    if budget.flops is not None:
        # FLOPs that another run reports must not cost one step more for the rounding of large numbers.
        tokens = budget.flops / flops
        steps = math.ceil(budget.flops / (flops * step_tokens) * (1 - 1e-12))
    elif budget.epochs is not None:
        data = dataset(config, inherited=inherited)
        tokens = data.places(budget.epochs) * data.place_tokens
        steps = math.ceil(tokens / step_tokens)
        if config.data.curriculum.sources:
            steps = _steps_of_epochs(config, data, budget.epochs)
            tokens = curriculum.tokens(config, steps, steps)
    else:
        tokens = budget.tokens or budget.tokens_per_parameter * model.total
        steps = budget.steps or math.ceil(tokens / step_tokens)
    if config.data.curriculum.batch_size and budget.steps is None:
        while curriculum.tokens(config, steps, steps) < tokens:  # a stage that is rounded up has smaller steps
            steps += 1
    if steps * step_tokens > MOST_TOKENS + step_tokens:
        raise ConfigError(f"The budget is {steps * step_tokens:.3g} tokens of this model: at most {MOST_TOKENS:.0e}.")
    return max(1, steps)


def _steps_of_epochs(config: RunConfig, data: Dataset, epochs: float) -> int:
    """The fewest steps that go through every source so often, where what they draw depends on how many they are."""

    def are_enough(steps: int) -> bool:
        tokens = curriculum.tokens(config, steps, steps)
        return min(data.epochs(tokens, curriculum.stages(config.data, steps)).values()) >= epochs

    possible = range(1, MOST_TOKENS)
    return possible[bisect.bisect_left(possible, True, key=are_enough)]


def _mean_step_tokens(config: RunConfig) -> float:
    """Tokens of a step, in the mean over a curriculum."""
    if not config.data.curriculum.batch_size:
        return config.step_tokens
    return curriculum.tokens(config, curriculum.MANY, curriculum.MANY) / curriculum.MANY


def mean_flops(
    config: RunConfig,
    vocabulary: int,
    model: Account,
    teachers: Sequence[tuple[Any, int]] = (),
    steps: int = curriculum.MANY,
) -> float:
    """Of training, for one token, in the mean over the sequence lengths of a run of so many steps. model: at the last
    of them."""
    total = 0.0
    for length, share in curriculum.shares(config.data, steps).items():
        at = replace(config, data=replace(config.data, sequence_length=length, curriculum=CurriculumConfig()))
        own = model if at.data == config.data else account(config.architecture, vocabulary, *places_of(at))
        total += share * training_flops(at, vocabulary, own, teachers)
    return total


def places_of(config: RunConfig) -> Places:
    """Of one row of a forward pass. Raises ConfigError where the method can make nothing of a row."""
    method, length = config.method or MethodConfig(), config.data.sequence_length
    return Places(*method.places(length, config.architecture.topology()))


def vocabulary_of(config: RunConfig, inherited: Path | None = None) -> int:
    """The model's vocabulary: its own, or the tokenizer's and the method's tokens. Raises ConfigError where its own is
    smaller."""
    size = vocabulary_with(_size(config, inherited), own_tokens_of(config, inherited))
    asked = config.architecture.vocabulary
    if asked is not None and asked < size:
        raise ConfigError(
            f"architecture.vocabulary={asked} is smaller than the tokenizer's {size}{_with(config.extra_tokens)}. "
            f"Set it to null, which means the tokenizer's, or to at least {size}."
        )
    return int(asked or size)


def own_tokens_of(config: RunConfig, inherited: Path | None = None) -> dict[str, int]:
    """The numbers of its method's own tokens, by name."""
    return extra_tokens(config.tokenizer, _size(config, inherited), config.extra_tokens)


def _size(config: RunConfig, inherited: Path | None) -> int:
    """Of the tokenizer."""
    known = config.tokenizer.vocabulary()
    return int(known if known is not None else dataset(config, inherited=inherited).tokenizer.size)


def _with(names: Sequence[str]) -> str:
    return f", with the objective's own {', '.join(names[:3])}{', …' if len(names) > 3 else ''}" if names else ""


# -------------------------------------------------------------------------------------------- data


def _data_key(config: RunConfig, inherited: Path | None) -> str:
    data, method = config.data, config.method or MethodConfig()
    cut = [
        data.held_out,
        data.sequence_length,
        data.template,
        method.cut(),
        method.room(),
        method.rows(),
        str(inherited),
    ]
    return json.dumps([to_mapping(config.corpus), to_mapping(config.tokenizer), cut], sort_keys=True)


_fingerprints: dict[str, str] = {}
_datasets: dict[str, Dataset] = {}


def data_fingerprint(config: RunConfig, inherited: Path | None = None) -> str:
    """The content hash of the data, computed once for all runs of a process that share it."""
    key = _data_key(config, inherited)
    if key not in _fingerprints:
        _fingerprints[key] = fingerprint(config, inherited)
    return _fingerprints[key]


def dataset(config: RunConfig, progress: Any = None, inherited: Path | None = None) -> Dataset:
    """The prepared data, opened once for all runs of a process that share it."""
    key = _data_key(config, inherited)
    if key not in _datasets:
        _datasets[key] = prepare(config, progress, inherited)
    return _datasets[key]
