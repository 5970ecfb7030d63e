"""`harness results` over 5,000 run directories, the interpreter's start included. Goal: under 2 s.

    python bench/results_table.py [runs]

The directories are of the size that the quick start leaves: config, manifest, 200 lines of metrics, 40 scores.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

SQL = (
    "SELECT task, metric, round(non_embedding, -3) AS N, avg(value) AS value, count(*) AS runs "
    "FROM scores JOIN runs ON run = id WHERE checkpoint = steps GROUP BY ALL ORDER BY ALL"
)
#: What a user types behind `harness results`, and the seconds that it may take (the scores have no promise).
WAYS = {
    "(table)": ([], 2.0),
    "--csv": (["--csv"], 2.0),
    "--json": (["--json"], 2.0),
    "--sql (scores)": (["--sql", SQL], None),
}
WIDTHS, BUDGETS = (24, 32, 48, 64), (500_000, 1_000_000, 2_000_000)
TASKS = ("bracket", "indentation", "keyword", "undefined_name", "quote", "induction", "copy", "addition_1", "text")
METRICS = ("acc", "log_likelihood", "edit_distance", "token_accuracy")


def make_runs(folder: Path, count: int, seed: int = 0) -> None:
    """So many run directories, all different."""
    chance = random.Random(seed)
    for index in range(count):
        run = folder / f"{chance.getrandbits(64):016x}"
        run.mkdir(parents=True)
        for name, value in _run(run.name, index, chance).items():
            (run / name).write_text(value)


def _run(id: str, index: int, chance: random.Random) -> dict[str, str]:
    width, tokens = WIDTHS[index % 4], BUDGETS[index // 4 % 3]
    size = 12 * width * width * (width // 16)
    steps, loss = tokens // 1024, 2.1 + 7.0 * size**-0.2 + 300 * tokens**-0.5 + chance.gauss(0, 0.01)
    curve = [(step, loss + 5 * math.exp(-step / 50)) for step in range(0, steps, max(1, steps // 200))]
    score = {"run": id, "checkpoint": steps, "suite": "offline", "stderr": 0.03, "n": 200, "likelihood": "causal"}
    scores = [{**score, "task": t, "metric": m, "value": chance.random()} for t in TASKS for m in METRICS]
    speed = {"lr": 0.01, "tokens_per_second": 41e3}
    return {
        "config.json": json.dumps(_config(width, tokens, seed=index), indent=1),
        "manifest.json": json.dumps(_manifest(id, size, tokens, loss, index), indent=1),
        "metrics.jsonl": "".join(
            json.dumps({"step": s, "tokens": s * 1024, "loss": x, **speed}) + "\n" for s, x in curve
        ),
        "scores.json": json.dumps(scores, indent=1),
    }


def _config(width: int, tokens: int, seed: int) -> dict[str, Any]:
    stdlib, synthetic = {"name": "python_stdlib", "weight": 0.9}, {"name": "synthetic", "weight": 0.1, "digits": 3}
    architecture = {
        "name": "transformer",
        "vocabulary": None,
        "width": width,
        "layers": width // 16,
        "attention": {"name": "multi_head", "heads": width // 16, "key_value_heads": None, "dropout": 0.0},
        "position": {"name": "rotary", "base": 10000.0},
        "norm": {"name": "rmsnorm", "eps": 1e-6},
        "feedforward": {"name": "gated", "ratio": 2.67, "activation": "silu"},
        "head": {"name": "language_model", "tied": True},
        "blocks": {},
        "pattern": None,
        "dropout": 0.0,
    }
    return {
        "corpus": {"name": "mix", "sources": {"python_stdlib": stdlib, "synthetic": synthetic}},
        "tokenizer": {"name": "bpe", "vocabulary": 512},
        "data": {"sequence_length": 128, "batch_size": 8, "attend_across_documents": True, "held_out": 0.05},
        "architecture": architecture,
        "method": {"name": "clm"},
        "optimizer": {"name": "adamw", "lr": 0.48 / width, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1},
        "schedule": {"name": "cosine", "warmup": 0.05, "final": 0.1},
        "budget": {"tokens": tokens, "tokens_per_parameter": 20.0},
        "trainer": {"precision": "fp32", "gradient_clip": 1.0, "threads": 1, "deterministic": True, "keep": 2},
        "seed": seed,
        "seeds": {"init": seed, "data": seed, "noise": seed},
        "suite": {"name": "offline"},
    }


def _manifest(id: str, size: int, tokens: int, loss: float, index: int) -> dict[str, Any]:
    return {
        "id": id,
        "created": f"2026-11-{1 + index % 28:02d}T12:00:{index % 60:02d}+00:00",
        "state": "finished",
        "identity": _config(size, tokens, index),
        "code": {"digest": "3c" * 16, "released": False},
        "fingerprint": {"device": "cpu AVX512", "python": "3.11.7", "torch": "2.13.0", "threads": 1, "world_size": 1},
        "model": {"parameters": size + 32768, "non_embedding": size, "active": size, "flops_per_token": 2.2 * size},
        "budget": {
            "steps": tokens // 1024,
            "tokens": tokens,
            "unique_tokens": min(tokens, 5_500_000),
            "epochs": tokens / 5_500_000,
            "flops": 6.6 * size * tokens,
            "flops_6nd": 6.0 * size * tokens,
        },
        "result": {"held_out_loss": loss, "held_out_stderr": 0.008, "train_loss": loss, "seconds": 49.0},
    }


def seconds(runs: str, words: list[str]) -> float:
    """Of the whole command: it starts, reads every run and prints the answer."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "harness.cli", "results", f"runs={runs}", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(count: int = 5000, repeats: int = 3) -> None:
    late = False
    with tempfile.TemporaryDirectory() as folder:
        make_runs(Path(folder), count)
        for name, (words, limit) in WAYS.items():
            took = median(seconds(folder, words) for _ in range(repeats))
            print(f"harness results {name} over {count:,} runs: {took:.2f} s{f' (limit {limit:g} s)' if limit else ''}")
            late |= limit is not None and took > limit
    if late:
        raise SystemExit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
