"""Pre-training, SFT with an adapter, DPO with and without one: what a stage starts from is the model of the last, merged.
Merged by hand here: W + alpha / rank · B A."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir, trained

from harness.config import plugin_config
from harness.data.pairs import ANSWERS
from harness.files import read_json
from harness.interfaces.batch import ANSWER, CONTEXT
from harness.rundir import RunDir
from harness.schema import DataConfig, RunConfig
from harness.training.held_out import examined
from harness.training.job import Parent, TrainingJob
from harness.training.parents import setting
from tests import conversations, preferences

STEPS, LENGTH, ALPHA, RANK = 10, 64, 16.0, 2
LORA = {"name": "lora", "rank": RANK, "alpha": ALPHA}


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    conversations.register(monkeypatch)
    preferences.register(monkeypatch)


def stage(text: Path, method: str, corpus: Any, adapter: dict[str, Any] | None) -> RunConfig:
    data = DataConfig(sequence_length=LENGTH, batch_size=4, held_out=0.2)
    of = config(text, adapter=adapter, trainer={"log_every": 1})
    return replace(of, corpus=corpus, data=data, method=plugin_config("method", method, "method"))


def carried_out(path: Path, of: TrainingJob) -> Parent:
    run = run_dir(path, of.config)
    trained(of, run)
    return Parent(path, of.steps, f"{path.name}@{of.steps}")


@pytest.fixture
def tuned(text: Path, tmp_path: Path) -> Parent:
    base = carried_out(tmp_path / "base", job(config(text), STEPS))
    of = job(stage(text, "sft", conversations.Talks(name="talks"), LORA), STEPS)
    return carried_out(tmp_path / "tuned", replace(of, parents={"init": base}))


def saved(parent: Parent) -> dict[str, torch.Tensor]:
    assert parent.step is not None
    return load_file(RunDir(parent.path).checkpoint(parent.step) / "model.safetensors")


def merged_by_hand(base: Parent, adapted: Parent) -> Any:
    weights, adapter = saved(base), saved(adapted)
    matrices = {name.partition(".lora_")[0] for name in adapter}
    assert len(matrices) == 2 * 7
    for name in matrices:
        a, b = (adapter[f"{name}.lora_{side}.default.weight"] for side in "AB")
        assert b.any(), "SFT has taught it something"
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + ALPHA / RANK * b @ a
    model = config(base.path).architecture.build(257)
    model.load_state_dict(weights, strict=False)
    return model.eval()


@torch.no_grad()
def log_probability(model: Any, tokens: torch.Tensor, parts: np.ndarray, answer: int) -> float:
    kept = torch.from_numpy((parts == CONTEXT) | (parts == ANSWER + answer))
    row, is_answer = tokens[kept], parts[kept.numpy()] != CONTEXT
    logp_TV = model.logits(row[None])[0].double().log_softmax(-1)
    return math.fsum(float(logp_TV[t - 1, row[t]]) for t in range(1, len(row)) if is_answer[t])


@pytest.mark.parametrize("adapter", [LORA, None], ids=["with an adapter", "without"])
def test_preferences_start_from_and_are_measured_against_what_was_tuned_merged(
    adapter: dict[str, Any] | None, tuned: Parent, text: Path, tmp_path: Path
):
    of = job(stage(text, "dpo", preferences.Tastes(name="tastes"), adapter), STEPS)
    of = replace(of, parents={"init": tuned, "reference": tuned})
    by_hand = merged_by_hand(Parent(tmp_path / "base", STEPS, ""), tuned)

    pairs, lookup = examined(of), setting(of).log_probabilities
    assert lookup is not None
    assert pairs.parts_BS is not None
    expected = [
        [log_probability(by_hand, torch.from_numpy(row), parts, answer) for answer in range(ANSWERS)]
        for row, parts in zip(pairs.tokens_BS, pairs.parts_BS, strict=True)
    ]
    np.testing.assert_allclose(lookup("reference")(pairs.sources_B, pairs.numbers_B), expected, rtol=1e-5)

    preferring = carried_out(tmp_path / "preferring", of)
    losses = [row["loss"] for row in RunDir(preferring.path).metrics()]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5), "policy and reference are one at first"
    assert losses[-1] < losses[0]
    if adapter:
        assert all(".lora_" in name for name in saved(preferring))
        assert read_json(RunDir(preferring.path).checkpoint(STEPS) / "base.json")["identity"] == tuned.identity
    else:
        assert saved(preferring).keys() == saved(Parent(tmp_path / "base", STEPS, "")).keys()
