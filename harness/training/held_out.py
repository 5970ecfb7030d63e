"""The held-out loss: the same sequences for every run on the same data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import torch

from harness.interfaces.batch import Batch
from harness.interfaces.method import Method
from harness.training.job import TrainingJob
from harness.training.strategies import share_out_again

#: Held-out tokens that a run is judged by, at most.
TOKENS = 131_072
#: Sequences in one forward pass; also the clusters of the standard error.
ROWS = 4


def evaluate(model: Any, method: Method, job: TrainingJob, between: Callable[[], None]) -> dict[str, Any]:
    """held_out_loss and held_out_stderr in nats per token, held_out_tokens. Without a held-out sequence the
    loss is null; with a single cluster, the standard error. `between` is called after each batch."""
    sums, counts = [], []
    for of_sums, of_counts in _sums(model, method, _batches(job, method), job.config.trainer.precision):
        sums.append(of_sums)
        counts.append(of_counts)
        between()
    loss, error = ratio(sums, counts) if sums else (None, None)
    tokens = int(sum(row[0] for row in counts))
    return {"held_out_loss": loss, "held_out_stderr": error, "held_out_tokens": tokens}


def ratio(sums: list[list[float]], counts: list[list[float]]) -> tuple[float, float | None]:
    """Each term's sum over its count, summed over the terms, and its standard error; a row for each cluster.

    The error is that of a ratio of sums over clusters (Cochran, Sampling Techniques, ch. 6), since the tokens of one
    sequence are not independent.
    """
    totals = [math.fsum(column) for column in zip(*counts, strict=True)]
    ratios = [math.fsum(column) / total for column, total in zip(zip(*sums, strict=True), totals, strict=True)]
    residuals = [
        sum((s - r * c) / total for s, c, r, total in zip(of_sums, of_counts, ratios, totals, strict=True))
        for of_sums, of_counts in zip(sums, counts, strict=True)
    ]
    n = len(residuals)
    error = math.sqrt(n / (n - 1) * math.fsum(r * r for r in residuals)) if n > 1 else None
    return sum(ratios), error


def _batches(job: TrainingJob, method: Method) -> Iterator[Batch]:
    rows = job.dataset.validation(TOKENS // job.config.data.sequence_length)
    randomness = job.dataset.stream(0).randomness
    for start in range(0, len(rows.places_B), ROWS):
        part = slice(start, start + ROWS)
        yield method.prepare(type(rows)(rows.tokens_BS[part], rows.documents_BS[part], rows.places_B[part]), randomness)


@torch.no_grad()
def _sums(
    model: Any, method: Method, batches: Iterable[Batch], precision: str
) -> Iterator[tuple[list[float], list[float]]]:
    """Of each batch, the sums and the counts of the method's terms; auxiliary losses are left out."""
    model.eval()
    device = next(model.parameters()).device
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext():
            counts = method.counts(batch)
            terms = model(method.losses, batch.to(device))
        yield [float(terms[name]) for name in counts], list(counts.values())
    share_out_again(model)
