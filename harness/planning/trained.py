"""What of a run's model is trained, and what a token of its training costs where parts are frozen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from harness.config import to_mapping
from harness.interfaces.adapter import AdapterCounts
from harness.models.counting import Account, account
from harness.schema import RunConfig


def trained_parameters(config: RunConfig, vocabulary: int, parameters: int) -> int:
    """How many parameters are trained, of a model of so many. Raises ConfigError for names that are none, and where
    nothing is left to train."""
    if config.method is None:
        return 0
    if not (config.optimizer.frozen or config.optimizer.rates):
        counts = adapter_counts(config, vocabulary)
        return counts.parameters if counts else parameters
    from harness.models.groups import trained

    return sum(one.parameter.numel() for one in trained(_frozen(config, vocabulary), config.optimizer))


def adapter_counts(config: RunConfig, vocabulary: int) -> AdapterCounts | None:
    """What the run's adapter adds to the model; None: it has none."""
    if config.adapter is None:
        return None
    from harness.models.meta import build_on_meta

    counts: AdapterCounts = config.adapter.counts(build_on_meta(config.architecture, vocabulary))
    return counts


def training_flops(
    config: RunConfig, vocabulary: int, model: Account, teachers: Sequence[tuple[Any, int]] = ()
) -> float:
    """Of one token of the corpus, exact: forward and backward, and the method's forward passes besides. model: at the
    places that the method makes of a row, which may be more or fewer than its tokens. teachers: architecture and
    vocabulary of those that read each row, too.

    In the backward pass each matrix product of the forward pass stands for two, of which one is the gradient of what it
    reads and one that of its weights. A frozen matrix has no gradient of its own, and what stands before all that is
    trained has none of what it reads either. An adapter's products count as those of any trained matrix.
    """
    besides = config.method.forward_passes() if config.method else 0
    whole = config.adapter is None and not config.optimizer.frozen
    own = model.training_flops if whole else _partly_frozen(config, vocabulary, model.sequence_length)
    besides = besides * model.forward_flops + sum(account(*of, model.sequence_length).forward_flops for of in teachers)
    again = (config.method.body_passes() - 1) * model.body_share * own if config.method else 0.0
    return float(own + again + besides) * model.sequence_length / config.data.sequence_length


_known: dict[str, int] = {}


def _partly_frozen(config: RunConfig, vocabulary: int, sequence_length: int) -> int:
    """Forward and backward of one token, counted on the meta device, once for all runs of a process alike in this."""
    chosen = [to_mapping(part) for part in (config.architecture, config.adapter, config.optimizer) if part]
    key = json.dumps([chosen, vocabulary, sequence_length], sort_keys=True)
    if key not in _known:
        counts = None if config.optimizer.frozen else adapter_counts(config, vocabulary)
        _known[key] = _counted(config, vocabulary, sequence_length, counts)
    return _known[key]


def _counted(config: RunConfig, vocabulary: int, sequence_length: int, counts: AdapterCounts | None) -> int:
    from harness.models.meta import build_on_meta, simplest, training_flops_on_meta

    model = _frozen(config, vocabulary) if counts is None else build_on_meta(config.architecture, vocabulary)
    return training_flops_on_meta(model, sequence_length, counts, simplest(config.architecture))


def _frozen(config: RunConfig, vocabulary: int) -> Any:
    """The model on the meta device, with its adapter, and what is frozen taken out of training."""
    from harness.models.groups import freeze, train_only
    from harness.models.meta import build_on_meta

    model = build_on_meta(config.architecture, vocabulary)
    if config.adapter:
        train_only(model, config.adapter.adapt(model))
    freeze(model, config.optimizer)
    return model
