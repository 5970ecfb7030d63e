"""The task: its items, what is asked of each, and what the answers are worth."""

from __future__ import annotations

import math
from typing import Any

from lm_eval.api.metrics import mean

from harness.scoring.task import ListTask, Requests


class Counting(ListTask):
    """After n, n + 1: is n + 2 likelier than n? A discrete metric stands beside its continuous twin."""

    aggregations = {"accuracy": mean, "probability": mean}

    def __init__(self, name: str, items: int) -> None:
        super().__init__(
            name,
            [{"prompt": f"{n}, {n + 1},", "target": f" {n + 2}", "wrong": f" {n}"} for n in range(1, items + 1)],
        )

    def requests(self, doc: dict[str, Any]) -> Requests:
        yield "loglikelihood", (doc["prompt"], doc["target"])
        yield "loglikelihood", (doc["prompt"], doc["wrong"])

    def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, float]:
        """results: for each request, the log-likelihood in nats, and whether it is the greedy choice."""
        margin = results[0][0] - results[1][0]
        return {"accuracy": float(margin > 0), "probability": 0.5 * (1 + math.tanh(margin / 2))}
