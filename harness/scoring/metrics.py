"""What the metrics of our tasks mean, and which continuous ones stand beside which discrete one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """label: for figures, with the unit. discrete: whether each sample is right or wrong. twins: continuous metrics
    of the same samples, shown beside a discrete one."""

    label: str
    higher_is_better: bool
    discrete: bool = False
    twins: tuple[str, ...] = ()


METRICS = {
    "bits_per_byte": Metric("bits per byte", False),
    "nats_per_token": Metric("nats per token", False),
    "accuracy": Metric("accuracy", True, True, ("probability", "margin")),
    "acc": Metric("accuracy", True, True, ("probability", "margin")),
    "probability": Metric("probability of the right choice", True),
    "margin": Metric("log-likelihood margin (nats)", True),
    "reward": Metric("mean reward", True),
    "exact_match": Metric(
        "exact match", True, True,
        ("token_accuracy", "edit_distance", "log_likelihood", "log_likelihood_per_token"),
    ),
    "token_accuracy": Metric("tokens right", True),
    "edit_distance": Metric("edit distance (share of the longer text)", False),
    "log_likelihood": Metric("log-likelihood of the answer (nats)", True),
    "log_likelihood_per_token": Metric("log-likelihood of the answer (nats per token)", True),
}  # fmt: skip


def edit_distance(a: str, b: str) -> float:
    """Insertions, deletions and substitutions from one text to the other (Levenshtein), divided by the longer
    length: 0 for equal texts, 1 for those that share nothing.

    >>> edit_distance("1234", "1334")
    0.25
    """
    if not a or not b:
        return float(a != b)
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1] / max(len(a), len(b))
