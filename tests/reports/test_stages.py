"""What each stage gained and lost: differences on the same samples, and intervals that know what they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.files import write_json
from harness.reports.stages import gained_and_lost, meaning
from harness.rundir import RunDir
from harness.scoring.samples import write_samples

SAMPLES = 50


@pytest.fixture
def runs(tmp_path: Path) -> Any:
    """Makes a finished run that was scored on one task."""

    def made(
        name: str, seed: int, parent: RunDir | None = None, margins: Sequence[float] | None = None, **more: Any
    ) -> RunDir:
        run = RunDir(tmp_path / f"{name}{seed}")
        identity: dict[str, Any] = {"config": {"method": name, "seeds": {"init": seed}}}
        if parent is not None:
            identity["parents"] = {"init": f"{parent.id}@{more.pop('at', 7)}"}
        result = {"model_bytes": 100, "tokens_per_second": 5.0, **more.pop("result", {})}
        run.path.mkdir()
        write_json(run.path / "config.json", {"method": {"name": name}})
        run.update_manifest(state=more.pop("state", "finished"), identity=identity, result=result)
        if margins is not None:
            scored(run, "preferences", "margin", margins, **more)
        return run

    return made


def scored(run: RunDir, task: str, metric: str, values: Sequence[float], first: int = 0, **more: Any) -> None:
    """first: number of the first document that is asked."""
    blank: dict[str, Any] = {
        "filter": "none",
        "prompt": "",
        "target": "",
        "responses": [],
        "choices": [],
        "log_likelihoods": [],
    }
    write_samples(
        run, "s", task, 7, [{**blank, "document": i, f"metric.{metric}": float(v)} for i, v in enumerate(values, first)]
    )
    row = {"run": run.id, "checkpoint": 7, "suite": "s", "task": task, "metric": metric, "likelihood": "causal"}
    run.add_scores([{**row, "value": float(np.mean(values)), "stderr": 0.1, "n": len(values), "settings": "x", **more}])


def margins(seed: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, SAMPLES)


def the_row(finding: Any, what: str = "margin") -> dict[str, Any]:
    (rows,) = finding.tables.values()
    (row,) = [row for row in rows if what in row["what"]]
    return row


def test_one_seed_is_students_paired_interval(runs: Any):
    before, after = margins(0), margins(0) + margins(1, 0.5) / 3
    sft = runs("sft", 0, margins=before)
    finding = gained_and_lost([sft, runs("dpo", 0, sft, after)], {})
    row, textbook = the_row(finding), stats.ttest_rel(after, before).confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((textbook.low, textbook.high))
    assert row["difference"] == pytest.approx((after - before).mean())
    assert (row["samples"], row["seeds"], row["verdict"]) == (SAMPLES, 1, "gained")
    assert "sft → dpo, one seed: Gained preferences: log-likelihood margin (nats) +0." in finding.sentences[0]
    assert "there is one seed, so that they say nothing of how another training would have come out" in meaning(finding)


def test_no_difference_cannot_be_told_from_noise_and_a_worse_one_is_a_loss(runs: Any):
    before = margins(0)
    sft = runs("sft", 0, margins=before)
    finding = gained_and_lost([sft, runs("dpo", 0, sft, before + margins(1) / 3)], {})
    assert the_row(finding)["verdict"] == "cannot be told from noise"
    assert "1 of 1 differences cannot be told from noise" in finding.sentences[0]
    finding = gained_and_lost([sft, runs("ppo", 0, sft, before - 1 + margins(1) / 3)], {})
    assert the_row(finding)["verdict"] == "lost"
    same = gained_and_lost([sft, runs("kto", 0, sft, before)], {})
    assert the_row(same)["verdict"] == "cannot be told from noise"


def test_seeds_that_disagree_widen_the_interval(runs: Any):
    """Both gain on their own; the spread between them is more than the samples say."""
    chain = []
    for seed, gain in enumerate((0.2, 1.4)):
        before = margins(seed)
        chain.append(runs("sft", seed, margins=before))
        chain.append(runs("dpo", seed, chain[-1], before + gain + margins(9) / 10))
    finding = gained_and_lost(chain, {})
    row = the_row(finding)
    assert (row["seeds"], row["samples"]) == (2, SAMPLES)
    assert row["difference"] == pytest.approx(0.8 + margins(9).mean() / 10)
    assert row["verdict"] == "cannot be told from noise"
    assert row["high"] - row["low"] > 2 * stats.t.ppf(0.975, 1) * 0.5
    assert "hold both the samples' and the seeds' spread" in meaning(finding)


def test_seeds_that_were_asked_other_samples_are_told_each_alone(runs: Any):
    """As many samples, but not the same: no sample can be said to move both."""
    chain = []
    for seed, first in ((0, 0), (1, 7)):
        before = margins(seed)
        chain.append(runs("sft", seed))
        scored(chain[-1], "preferences", "margin", before, first=first)
        chain.append(runs("dpo", seed, chain[-1]))
        scored(chain[-1], "preferences", "margin", before + 0.5 + margins(9) / 10, first=first)
    finding = gained_and_lost(chain, {})
    (rows,) = finding.tables.values()
    told = [row for row in rows if "margin" in row["what"]]
    assert [row["what"] for row in told] == [
        f"preferences: log-likelihood margin (nats), {run} alone ↑" for run in ("dpo0", "dpo1")
    ]
    for seed, row in enumerate(told):
        after, before = margins(seed) + 0.5 + margins(9) / 10, margins(seed)
        textbook = stats.ttest_rel(after, before).confidence_interval()
        assert (row["low"], row["high"]) == pytest.approx((textbook.low, textbook.high))
        assert (row["seeds"], row["verdict"]) == (1, "gained")
    assert "2 are of one seed each, since the seeds were not asked the same samples" in finding.sentences[0]
    assert "they say nothing of how another training would have come out" in meaning(finding)


def test_a_pair_without_common_samples_leaves_out_the_interval_of_all_seeds(runs: Any):
    first, second = (runs("sft", seed, margins=margins(seed)) for seed in (0, 1))
    chain = [first, second, runs("dpo", 0, first, margins(2)), runs("dpo", 1, second, margins(3)[:-1])]
    finding = gained_and_lost(chain, {})
    row = the_row(finding)
    assert (row["low"], row["verdict"], row["seeds"]) == (None, "no interval", 2)


def test_where_the_samples_are_not_the_same_there_is_no_interval(runs: Any):
    sft = runs("sft", 0, margins=margins(0))
    for i, (after, more) in enumerate(
        [(margins(1)[:-1], {}), (margins(1), {"likelihood": "masked"}), (margins(1), {"settings": "y"})]
    ):
        finding = gained_and_lost([sft, runs("dpo", i, sft, after, **more)], {})
        assert (the_row(finding)["low"], the_row(finding)["verdict"]) == (None, "no interval")
        assert "1 have no interval, since their samples are not the same" in finding.sentences[0]


def test_what_is_missing_is_left_out_and_the_rest_is_told(runs: Any):
    """A parent that is scored at another step than its child began with, and one that was not scored at all."""
    sft = runs("sft", 0, margins=margins(0))
    result = {"model_bytes": 30, "held_out_measures": {"kl": {"value": 0.25, "stderr": None, "n": 1}}}
    finding = gained_and_lost([sft, runs("grpo", 0, sft, margins(1), at=5, result=result)], {})
    (rows,) = finding.tables.values()
    assert [row["what"] for row in rows] == [
        "KL to the reference (nats per token), as grpo measures it", "bytes of the model's file",
        "training, tokens per second",
    ]  # fmt: skip
    assert the_row(finding, "bytes")["verdict"] == "× 0.300"
    assert "KL to the reference (nats per token), as grpo measures it 0.250" in finding.sentences[0]
    assert "Bytes of the model's file × 0.300" in finding.sentences[0]


def test_only_finished_runs_that_start_from_another_are_steps(runs: Any):
    sft = runs("sft", 0, margins=margins(0))
    assert gained_and_lost([sft], {}) is None
    assert gained_and_lost([sft, runs("dpo", 0, sft, margins(1), state="failed")], {}) is None
    alone = runs("dpo", 1, sft, margins(1))
    assert gained_and_lost([alone], {}) is None, "its parent is no run of the study"


def test_seeds_of_one_stage_are_one_step_and_others_are_not(runs: Any):
    first, second = (runs("sft", seed, margins=margins(seed)) for seed in (0, 1))
    chain = [first, second, *(runs("dpo", i, parent, margins(i)) for i, parent in enumerate((first, second)))]
    other = runs("ppo", 0, first, margins(5))
    finding = gained_and_lost([*chain, other, runs("int", 0, other, margins(6))], {other.id: "ppo beta=0.1"})
    assert list(finding.tables) == [
        "sft → dpo, 2 seeds", "sft → ppo beta=0.1, one seed", "ppo beta=0.1 → int, one seed",
    ]  # fmt: skip


def test_runs_from_two_steps_of_one_parent_are_no_seeds_of_each_other(runs: Any):
    trunk = runs("sft", 0, margins=margins(0))
    early, late = (runs("dpo", seed, trunk, margins(seed), at=at) for seed, at in ((1, 4), (2, 8)))
    finding = gained_and_lost([trunk, early, late], {})
    assert [title.split(", ")[1] for title in finding.tables] == ["one seed", "one seed"]
