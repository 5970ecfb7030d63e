"""A study as the quick start leaves it, with made-up numbers: twelve runs, curves, scores, findings, levels."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.files import write_json
from harness.interfaces.analysis import Drawing, Finding
from harness.reports import Report

SIZES = {24: 7_000, 32: 24_900, 48: 83_100, 64: 195_300}
LOSS = {
    500_000: (3.796, 3.601, 3.447, 3.332),
    1_000_000: (3.696, 3.398, 3.158, 3.001),
    2_000_000: (3.580, 3.244, 2.938, 2.774),
}


def a_run(width: int, tokens: int, loss: float, seed: int = 0, state: str = "finished") -> dict[str, Any]:
    size = SIZES[width]
    return {
        "id": f"{width:02x}{tokens // 100_000:02x}{seed:02x}{width * tokens % 0xFFFFFF:06x}",
        "state": state,
        "created": "2026-11-22T02:00:00+00:00",
        "code": {
            "released": True,
            "digest": "5f0c8e1ab2d94c77",
            "digests": {"harness": "41c2"},
            "versions": {"harness-lm": "0.1.0"},
        },
        "fingerprint": {"device": "cpu AVX512", "python": "3.11.7", "torch": "2.13.0", "threads": 1, "micro_batch": 8},
        "model": {"parameters": size + 512 * width, "non_embedding": size, "active": size + 512 * width},
        "budget": {
            "steps": tokens // 1024,
            "tokens": tokens,
            "unique_tokens": tokens,
            "flops": 7.1 * size * tokens,
            "flops_6nd": 6.0 * size * tokens,
        },
        "result": {"held_out_loss": loss, "held_out_stderr": 0.009, "seconds": tokens * size**0.6 / 4e6},
        "config": {"architecture": {"name": "transformer", "width": width}, "method": {"name": "clm"}, "seed": seed},
    }


def a_curve(loss: float, tokens: int, noise: random.Random) -> list[tuple[int, int, float]]:
    steps = tokens // 1024
    shape = [
        (step, loss + (6.2 - loss) * math.exp(-((step / (0.07 * steps)) ** 0.6))) for step in range(10, steps + 1, 10)
    ]
    return [(step, step * 1024, value + noise.gauss(0, 0.04)) for step, value in shape]


def some_scores(run: dict[str, Any], noise: random.Random) -> list[dict[str, Any]]:
    """Accuracies of minimal pairs and an exact match that rises late, each with continuous twins."""
    skill = (3.9 - run["result"]["held_out_loss"]) / 1.3
    about = {"run": run["id"], "checkpoint": run["budget"]["steps"], "suite": "offline", "likelihood": "causal"}
    values = {("held_out", "bits_per_byte", 400): (2.75 - 0.85 * skill, 0.02)}
    for i, task in enumerate(("pairs_bracket", "pairs_keyword", "pairs_quote")):
        right = min(0.97, 0.52 + (0.2 + 0.1 * i) * skill + noise.gauss(0, 0.02))
        values[task, "acc", 200] = (right, math.sqrt(right * (1 - right) / 200))
        values[task, "probability", 200] = (right - 0.04, 0.02)
        values[task, "margin", 200] = (6 * (right - 0.5), 0.3)
    exact = max(0.0, round(200 * (skill - 0.75)) / 200)
    values["addition_two_digits", "exact_match", 200] = (exact, math.sqrt(exact * (1 - exact) / 200))
    values["addition_two_digits", "token_accuracy", 200] = (0.15 + 0.4 * skill, 0.02)
    values["addition_two_digits", "edit_distance", 200] = (0.8 - 0.4 * skill, 0.015)
    values["addition_two_digits", "log_likelihood", 200] = (-9 + 4 * skill, 0.2)
    return [
        {**about, "task": task, "metric": metric, "value": value, "stderr": stderr, "n": n}
        for (task, metric, n), (value, stderr) in values.items()
    ]


def a_drawing(title: str = "Predicted against seen") -> Drawing:
    def draw() -> Any:
        from harness.reports.style import BLUE, figure, label

        drawn, axes = figure(height=3.6)
        axes.plot([2.7, 3.9], [2.7, 3.9], color=BLUE)
        axes.fill_between([2.7, 3.9], [2.6, 3.8], [2.8, 4.0], color=BLUE, alpha=0.2, linewidth=0)
        label(axes, "predicted loss (nats per token)", "seen loss (nats per token)")
        return drawn

    return Drawing(title, "On the diagonal the law is right; the band is its 95 % interval.", draw)


def some_findings(largest: str) -> list[Finding]:
    power = Finding(
        analysis="power_law",
        verdict="ok",
        sentences=[
            "At D = 2 M tokens, loss falls as N to the power −0.076 [−0.084, −0.069] (4 sizes, one seed each).",
            "Left out, the largest rung was foretold at 2.79 [2.70, 2.88] nats per token and reached 2.774 ± 0.009.",
        ],
        values={"alpha": 0.076},
        tables={
            "left out": [
                {"run": largest, "foretold": 2.79, "low": 2.70, "high": 2.88, "seen": 2.774, "inside": True},
            ],
        },
        drawings=[a_drawing()],
    )
    joint = Finding(
        analysis="chinchilla",
        verdict="not enough data",
        sentences=["The additive law in N and D does not fit these 12 points: its residuals reach 0.09 nats."],
        values={},
        tables={"residuals": [{"N": 7000, "D": 500_000, "loss": 3.796, "residual": -0.0312}]},
    )
    return [power, joint]


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Report]:
    """Makes the report of the study; keywords replace its parts."""
    return lambda **parts: a_study(tmp_path, **parts)


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """The whole study, and the folder in which its runs lie; not to be changed."""
    folder = tmp_path_factory.mktemp("quickstart")
    return a_study(folder), folder


def a_study(folder: Path, **parts: Any) -> Report:
    noise = random.Random(0)
    runs = [a_run(w, d, loss) for d, losses in LOSS.items() for w, loss in zip(SIZES, losses, strict=True)]
    for run in parts.get("runs", runs):
        write_json(folder / "runs" / run["id"] / "manifest.json", run)
    content: dict[str, Any] = {
        "name": "quickstart",
        "question": "How does the loss of a small transformer on Python code fall with size and data?",
        "created": "22 November 2026",
        "command": "harness study quickstart",
        "runs_folder": folder / "runs",
        "runs": runs,
        "curves": {r["id"]: a_curve(r["result"]["held_out_loss"], r["budget"]["tokens"], noise) for r in runs},
        "scores": [score for run in runs for score in some_scores(run, noise)],
        "findings": some_findings(runs[-1]["id"]),
        "levels": [
            {"task": "pairs_bracket", "metric": "acc", "name": "chance", "value": 0.5},
            {"task": "held_out", "metric": "bits_per_byte", "name": "byte trigram", "value": 2.52},
            {"task": "held_out", "metric": "bits_per_byte", "name": "token trigram", "value": 1.72},
        ],
        "sweep": "question: How does the loss fall?\naxes:\n  scale.width: [24, 32, 48, 64]\n",
    }
    return Report(**{**content, **parts})
