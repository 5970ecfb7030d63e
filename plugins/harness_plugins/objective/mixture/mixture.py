"""Rows that are learned by different objectives, in one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.method import Method
from harness_plugins.objective.mixture import TERM


class ObjectiveMixture:
    """The sum of all rows' losses over the count of all that is learned, each row by one objective. methods: by label,
    each with one term that it counts. shares: of the rows, by label.

    Objectives see their rows differently, so that each has a batch of its own and a forward pass: a batch holds their
    tensors in `extra`, under their labels, and no rows beside them.
    """

    def __init__(self, methods: Mapping[str, Method], shares: Mapping[str, float]) -> None:
        self.methods, self.shares = dict(methods), [shares[label] for label in methods]
        self.told = tuple(methods)
        self._terms: dict[str, str] = {}

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        count = len(self.methods)
        drawn_B = np.array([randomness(place).choice(count, p=self.shares) for place in sequences.places_B.tolist()])

        def behind(place: int) -> np.random.Generator:
            """What the objective draws is not what it was itself drawn by."""
            rng = randomness(place)
            rng.choice(count, p=self.shares)
            return rng

        extra: dict[str, torch.Tensor] = {}
        for number, (label, method) in enumerate(self.methods.items()):
            if (drawn_B == number).any():
                extra |= _named(label, method.prepare(sequences.rows(drawn_B == number), behind))
        none_BT = torch.zeros(len(drawn_B), 0)
        places_B = torch.from_numpy(sequences.places_B)
        return Batch(none_BT.long(), none_BT.long(), none_BT, places_B, extra=extra)

    def counts(self, batch: Batch) -> dict[str, float]:
        found = dict.fromkeys(self.methods, 0.0)
        for label, part in self._parts(batch).items():
            (found[label],) = self.methods[label].counts(part).values()
        return {TERM: sum(found.values()), **found}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        nats = {label: torch.zeros((), device=batch.places_B.device) for label in self.methods}
        auxiliary: dict[str, Any] = {}
        for label, part in self._parts(batch).items():
            method = self.methods[label]
            if label not in self._terms:
                (self._terms[label],) = method.counts(part)
            terms = method.losses(model, part)
            nats[label] = terms.pop(self._terms[label])
            share = len(part.places_B) / len(batch.places_B)
            for name, mean in terms.items():
                auxiliary[name] = auxiliary.get(name, 0.0) + share * mean
        total = torch.stack(list(nats.values())).sum()
        return {TERM: total, **{label: own.detach() for label, own in nats.items()}, **auxiliary}

    def parts(self, batch: Batch) -> list[Batch]:
        return list(self._parts(batch).values())

    def _parts(self, batch: Batch) -> dict[str, Batch]:
        """By label, those that have rows in it."""
        return {label: _part(label, batch) for label in self.methods if f"{label}/places_B" in batch.extra}


def _named(label: str, batch: Batch) -> dict[str, torch.Tensor]:
    """Its tensors, those of its own extra one level deeper."""
    own = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name != "extra"}
    own |= {f"extra/{name}": value for name, value in batch.extra.items()}
    return {f"{label}/{name}": value for name, value in own.items() if value is not None}


def _part(label: str, batch: Batch) -> Batch:
    """What `_named` was given."""
    own = {name.removeprefix(f"{label}/"): v for name, v in batch.extra.items() if name.startswith(f"{label}/")}
    extra = {name.removeprefix("extra/"): own.pop(name) for name in list(own) if name.startswith("extra/")}
    return Batch(**own, extra=extra)
