"""From points to a finding."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

from harness.interfaces.analysis import Finding, Point

#: Seeds of a condition, at least: one has no spread.
LEAST_SEEDS = 2


def analyse(errors: float, points: Sequence[Point]) -> Finding:
    """“Not enough data” where there are not two conditions, or one of the two best has fewer than two seeds."""
    largest = max(((point.N, point.D) for point in points), default=None)
    losses: dict[str, list[float]] = {}
    for point in points:
        if (point.N, point.D) == largest:
            losses.setdefault(point.condition, []).append(point.loss)
    table = [
        {"condition": name, "loss": fmean(own), "seeds": len(own)}
        for name, own in sorted(losses.items(), key=lambda item: fmean(item[1]))
    ]
    best = [losses[str(row["condition"])] for row in table[:2]]
    if len(best) < 2 or min(map(len, best)) < LEAST_SEEDS:
        sentence = f"There are {len(table)} conditions; two of at least {LEAST_SEEDS} seeds each can be compared."
        return Finding("mine", "not enough data", [sentence], {}, {"conditions": table})
    difference = fmean(best[1]) - fmean(best[0])
    error = sum(stdev(own) ** 2 / len(own) for own in best) ** 0.5
    told = "is lower than" if difference > errors * error else "cannot be told from"
    sentence = (
        f"The loss of {table[0]['condition']} {told} that of {table[1]['condition']}: the difference is "
        f"{difference:.4f} ± {error:.4f} nats per token."
    )
    values = {"best": table[0]["condition"], "difference": difference, "error": error}
    return Finding("mine", "ok", [sentence], values, {"conditions": table})
