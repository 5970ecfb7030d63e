"""sweeps/pipeline.yaml at a tiny size: each stage is trained once, and what is new alone is trained when it is asked for
again."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.plugins import sweep_folder
from harness.rundir import RunDir

GADGETS = Path(__file__).parent.parent / "third_party/harness_gadgets/src"
STEPS = {"pretrain": 6, "sft": 4, "dpo": 4, "grpo": 4}
SMALLER = {
    r"scale.width=\d+": "scale.width=16",
    r"seed: \[0, 1\]": "seed: [0]",
    r"budget.tokens=\d+": f"budget.tokens={STEPS['pretrain'] * 8 * 160}",
    r"budget.steps=\d+": "budget.steps=4",
    r"max_new_tokens=\d+": "max_new_tokens=8",
    r"suite.documents=\d+": "suite.documents=4\n  - suite.examples=8\n  - suite.new_tokens=8",
}
SIMPO = """
  simpo:
    parents: {init: sft}
    base: [alignment=simpo, corpus=python_tasks, corpus.examples=preferences, optimizer.lr=0.001, budget.steps=3]
"""


def harness(*words: str) -> tuple[str, float]:
    """What the program said, and its processor seconds: those of the clock are the machine's affair."""
    env = {**os.environ, "HARNESS_PLUGINS": "harness_gadgets", "PYTHONPATH": str(GADGETS), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words], env=env, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def steps_taken() -> dict[str, int]:
    """Optimizer steps over all attempts, by the name of the method; quantized runs take none."""
    taken: dict[str, int] = {}
    for path in Path("runs").glob("*/manifest.json"):
        run = RunDir(path.parent)
        method = (run.config()["method"] or {"name": "none"})["name"]
        attempts = run.manifest().get("attempts", [])
        taken[method] = taken.get(method, 0) + sum(one["to_step"] - one["from_step"] for one in attempts)
    return taken


@pytest.mark.slow
def test_each_stage_is_trained_once_and_a_new_one_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    text = (sweep_folder() / "pipeline.yaml").read_text()
    for pattern, value in SMALLER.items():
        assert re.search(pattern, text), pattern
        text = re.sub(pattern, value, text)
    Path("mine.yaml").write_text(text)

    harness("study", "mine.yaml", "launcher.workers=2")
    once = {"clm": STEPS["pretrain"], "sft": STEPS["sft"], "dpo": STEPS["dpo"], "grpo": STEPS["grpo"], "none": 0}
    assert steps_taken() == once
    findings = {one["analysis"]: one for one in json.loads(Path("studies/mine/findings.json").read_text())}
    titles = ["pretrain → sft", "sft → dpo", "sft → grpo", "dpo → int8", "grpo → int8"]
    assert list(findings["stages"]["tables"]) == [f"{title}, one seed" for title in titles]
    for rows in findings["stages"]["tables"].values():
        asked = [row["what"].split(":")[0] for row in rows if row["samples"]]
        assert asked == ["preferences", "preferences", "reward", "answers", "held out python stdlib"]
        assert all(row["verdict"] in ("gained", "lost", "cannot be told from noise") for row in rows if row["samples"])
    page = Path("studies/mine/report.html").read_text()
    assert "What each stage gained and lost" in page
    assert "KL to the reference" in page

    said, seconds = harness("study", "mine.yaml", "launcher.workers=2")
    assert "6 runs: 6 to reuse" in said
    assert steps_taken() == once
    assert seconds < 5

    Path("mine.yaml").write_text(text + SIMPO)
    said, _ = harness("study", "mine.yaml", "launcher.workers=2")
    assert "7 runs: 6 to reuse, 1 to train" in said
    assert steps_taken() == {**once, "simpo": 3}
    said, _ = harness("report", "mine")
    assert "- sft → simpo, one seed: " in said


def test_simpos_loss_is_what_its_paper_says(monkeypatch: pytest.MonkeyPatch, transformer):
    """Slowly: one answer at a time, token by token."""
    import numpy as np

    from harness.interfaces.batch import ANSWER, CONTEXT, Sequences

    monkeypatch.syspath_prepend(str(GADGETS))
    from harness_gadgets.modules import Simpo

    torch.manual_seed(0)
    model, rng, beta, gamma = transformer().build(50), np.random.default_rng(0), 2.0, 0.5
    sizes = [(3, 4, 2), (5, 1, 6)]
    width = max(map(sum, sizes))
    tokens_BS, parts_BS = np.zeros((2, width), np.int64), np.full((2, width), 255, np.uint8)
    expected = 0.0
    for row, (prompt, better, worse) in enumerate(sizes):
        parts = [CONTEXT] * prompt + [ANSWER] * better + [ANSWER + 1] * worse
        tokens = rng.integers(0, 50, len(parts))
        tokens_BS[row, : len(parts)], parts_BS[row, : len(parts)] = tokens, parts
        rewards = []
        for answer in (tokens[prompt : prompt + better], tokens[prompt + better :]):
            whole = [*tokens[:prompt], *answer]
            logp_TV = model.logits(torch.tensor([whole]))[0].log_softmax(-1)
            total = sum(float(logp_TV[t - 1, whole[t]].detach()) for t in range(prompt, len(whole)))
            rewards.append(beta * total / len(answer))
        expected -= float(torch.tensor(rewards[0] - rewards[1] - gamma).sigmoid().log())
    method = Simpo(beta, gamma, sequence_length=32)
    sequences = Sequences(tokens_BS, tokens_BS * 0, np.arange(2), parts_BS)
    batch = method.prepare(sequences, lambda place: np.random.default_rng(place))
    assert method.counts(batch) == {"simpo": 2}
    assert float(method.losses(model, batch)["simpo"].detach()) == pytest.approx(expected, rel=1e-5)
