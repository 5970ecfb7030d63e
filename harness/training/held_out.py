"""The held-out loss: the same sequences for every run on the same data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import torch

from harness.interfaces.batch import Batch, Sequences
from harness.interfaces.method import Method
from harness.models.load import Load, routers
from harness.training.job import TrainingJob
from harness.training.loop import collected
from harness.training.noise import keyed
from harness.training.strategies import share_out_again

#: Held-out tokens that a run is judged by, at most.
TOKENS = 131_072
#: Sequences in one forward pass; also the clusters of the standard error.
ROWS = 4


def evaluate(model: Any, method: Method, job: TrainingJob, between: Callable[[], None]) -> dict[str, Any]:
    """held_out_loss and held_out_stderr in nats per token (of a method that counts something else: per what it counts),
    held_out_tokens; held_out_measures, where the method measures or tells some, by name: value, stderr, n. Of a model
    with experts also held_out_load, what each expert was given in equal shares, by router, and among the measures
    largest_expert_load. Without a held-out sequence the loss is null; with a single cluster, the standard error.
    `between` is called after each batch."""
    sums, counts, measured, load = [], [], [], Load(routers(model))
    for of_sums, of_counts, measures in _sums(model, method, _batches(job, method), job.config.trainer.precision, load):
        sums.append(of_sums)
        counts.append(of_counts)
        measured.append(measures)
        between()
    loss, error = ratio(sums, counts) if sums else (None, None)
    tokens = int(sum(row[0] for row in counts))
    found: dict[str, Any] = {"held_out_loss": loss, "held_out_stderr": error, "held_out_tokens": tokens}
    told = _measured(measured) if any(measured) else {}
    if load.counts:
        told["largest_expert_load"] = {"value": load.largest(), "stderr": None, "n": load.places()}
        found["held_out_load"] = load.shares()
    return {**found, "held_out_measures": told} if told else found


def _measured(batches: list[dict[str, tuple[float, float]]]) -> dict[str, dict[str, float | None]]:
    found = {}
    for name in batches[0]:
        sums, counts = zip(*(batch[name] for batch in batches), strict=True)
        value, error = ratio([[s] for s in sums], [[n] for n in counts])
        found[name] = {"value": value, "stderr": error, "n": sum(counts)}
    return found


def ratio(sums: list[list[float]], counts: list[list[float]]) -> tuple[float, float | None]:
    """Each term's sum over its count, summed over the terms, and its standard error; a row for each cluster.

    The error is that of a ratio of sums over clusters (Cochran, Sampling Techniques, ch. 6), since the tokens of one
    sequence are not independent.
    """
    totals = [math.fsum(column) or 1.0 for column in zip(*counts, strict=True)]
    ratios = [math.fsum(column) / total for column, total in zip(zip(*sums, strict=True), totals, strict=True)]
    residuals = [
        sum((s - r * c) / total for s, c, r, total in zip(of_sums, of_counts, ratios, totals, strict=True))
        for of_sums, of_counts in zip(sums, counts, strict=True)
    ]
    n = len(residuals)
    error = math.sqrt(n / (n - 1) * math.fsum(r * r for r in residuals)) if n > 1 else None
    return sum(ratios), error


def examined(job: TrainingJob) -> Sequences:
    """What a run is judged by."""
    # What is generated costs far more than what is read, so that there are fewer prompts than there would be rows.
    tokens = job.dataset.place_tokens if job.config.method.generates else job.dataset.sequence_length
    rows: Sequences = job.dataset.validation(max(1, TOKENS // tokens))
    return rows


def _batches(job: TrainingJob, method: Method) -> Iterator[Batch]:
    rows = examined(job)
    randomness = job.dataset.stream(0).randomness
    for start in range(0, len(rows.places_B), ROWS):
        part = slice(start, start + ROWS)
        yield method.prepare(rows.rows(part), randomness)


@torch.no_grad()
def _sums(
    model: Any, method: Method, batches: Iterable[Batch], precision: str, load: Load
) -> Iterator[tuple[list[float], list[float], dict[str, tuple[float, float]]]]:
    """Of each batch, the sums and the counts of the method's terms, and its measures; auxiliary losses are left out.
    A method that makes its batches makes the same ones of the same model."""
    model.eval()
    device = next(model.parameters()).device
    collect, measures = getattr(method, "collect", None), getattr(method, "measures", None)
    told = getattr(method, "told", ())
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext():
            moved = batch.to(device)
            if collect is not None:
                moved = collected(collect, model, moved, [keyed(place) for place in batch.places_B.tolist()])
                batch = moved.to("cpu")
            counts = method.counts(batch)
            with load:
                terms = model(method.losses, moved)
            measured = model(measures, moved) if measures else {}
        said = {name: (float(terms[name]), counts.pop(name)) for name in told}
        yield [float(terms[name]) for name in counts], list(counts.values()), {**said, **measured}
    share_out_again(model)
