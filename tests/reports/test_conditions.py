"""The conditions of a study beside each other, from runs on disk: what is chosen, told, and not told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.files import write_json
from harness.interfaces.analysis import Finding
from harness.reports.conditions import conditions
from harness.reports.told import _moved
from harness.reports.trials import Trial, choose
from harness.rundir import RunDir
from harness.scoring.samples import write_samples

DOCUMENTS, BYTES = 30, 700
SEEDS = {"llama_again": (100, 101)}
RUNGS = {"width=24": 1.0, "width=48": 10.0}


def a_run(folder: Path, condition: str, rung: str, rate: float, seed: int, loss: float, **more: Any) -> RunDir:
    run = RunDir(folder / f"{condition}-{rung}-{rate}-{seed}")
    run.path.mkdir(parents=True)
    part = "llama" if condition == "llama_again" else condition
    config = {"method": {"name": more.get("method") or "clm"}, "part": part, "lr": rate, "seeds": {"init": seed}}
    write_json(run.path / "config.json", config)
    run.update_manifest(
        state="finished",
        identity={"config": config, "data": "d"},
        model={"active": 9, "parameters": 9, "non_embedding": 9, "loss_in": "nats per token"},
        budget={"tokens": 10, "flops_6nd": RUNGS.get(rung, 1.0)},
        result={"held_out_loss": loss, "train_loss": loss},
    )
    return run


def scored(
    run: RunDir, bits: float, chance: np.random.Generator, likelihood: str = "causal", text: str = ""
) -> list[dict[str, Any]]:
    """A row of bits per byte, and the samples that come to it."""
    each = bits + chance.normal(0, 0.02, DOCUMENTS)
    blank = {"filter": "none", "prompt": "", "target": text, "responses": [], "choices": []}
    samples = [
        {**blank, "document": i, "log_likelihoods": [-b * BYTES * np.log(2)], "metric.bits_per_byte": float(b)}
        for i, b in enumerate(each)
    ]
    write_samples(run, "s", "held_out", 7, samples)
    row = {"run": run.id, "checkpoint": 7, "suite": "s", "task": "held_out", "metric": "bits_per_byte"}
    return [{**row, "value": float(each.mean()), "n": DOCUMENTS, "likelihood": likelihood, "settings": "x"}]


Study = tuple[list[RunDir], dict[str, Any], list[dict[str, Any]]]


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Study]:
    """Makes a study of conditions, each of a true loss, three rates, two rungs and two seeds. The middle rate is the
    best but where `best` says another. The seeds move all conditions alike, and each a little."""

    def make(truth: dict[str, float], best: dict[str, float] | None = None, **more: Any) -> Study:
        chance, runs, of, rows = np.random.default_rng(3), list[RunDir](), {}, []
        for condition, loss in truth.items():
            for rung, rate in ((rung, rate) for rung in RUNGS for rate in (0.1, 0.2, 0.4)):
                for seed in SEEDS.get(condition, (0, 1))[: more.get("seeds", 2)]:
                    miss = 0.1 * abs(np.log2(rate / (best or {}).get(condition, 0.2)))
                    bits = loss + miss + 0.01 * seed * (seed < 2) + chance.normal(0, 0.002)
                    run = a_run(
                        tmp_path, condition, rung, rate, seed, bits, method=more.get("method", {}).get(condition)
                    )
                    likelihood = more.get("likelihood", {}).get(condition, "causal")
                    text = more.get("text", {}).get(condition, "")
                    rows += scored(run, bits, chance, likelihood, text) if more.get("scores", True) else []
                    runs.append(run)
                    of[run.id] = {"condition": condition, "rung": rung, "tuned": {"lr": rate}, "seeds": [seed] * 3}
        return runs, of, rows

    return make


TRUTH = {"llama": 2.0, "llama_again": 2.0, "alibi": 2.001, "better": 1.9, "crippled": 2.6}


@pytest.fixture
def found(study: Any) -> Finding:
    answer = conditions(*study(TRUTH, {"better": 0.4}))
    assert answer is not None
    return answer


def test_the_crippled_one_is_last_the_duplicate_is_noise_and_the_better_one_is_told(found: Finding):
    (values,) = found.values.values()
    assert values["order"]["width=48"][0] == "better"
    assert values["order"]["width=48"][-1] == "crippled"
    assert values["the_same_from_other_seeds"] == ["llama_again"]
    assert values["verdicts"]["width=48"] == {
        "llama": "reference", "llama_again": "not told apart", "alibi": "not told apart", "better": "better",
        "crippled": "worse",
    }  # fmt: skip
    assert found.verdict == "ok"


def test_the_first_sentence_says_it_of_each_and_others_say_the_rest(found: Finding):
    first, *rest = found.sentences
    assert first.startswith(
        "Beside llama at width=48, by bits per byte of the same 30 documents: Better than it: better −"
    )
    assert "Worse: crippled +0." in first
    assert "crippled (5)" in rest[0]
    assert "llama_again is llama once more, from other seeds" in " ".join(rest)
    assert "it is called noise, as it should be" in " ".join(rest)
    assert "From width=24 to width=48: No change of the difference is told for 4 of 4 conditions" in " ".join(rest)
    assert "together for the 4 comparisons of a rung at 95% (Bonferroni)" in " ".join(rest)
    assert "At the end of what was tried, so that its best may lie outside: better at width=24" in rest[-1]


def test_where_every_condition_moves_nothing_is_said_of_those_that_do_not():
    rungs = [SimpleNamespace(name="small"), SimpleNamespace(name="large")]
    trend = [{"condition": "alibi", "verdict": "falls behind", "change": 0.054, "low": 0.037, "high": 0.071}]
    assert _moved(SimpleNamespace(rungs=rungs, top=rungs[1]), trend) == [
        "From small to large: Falls behind: alibi +0.054 [+0.037, +0.071]."
    ]


def test_every_number_leads_to_its_runs_and_each_condition_to_its_best_rate(found: Finding):
    rows = {row["condition"]: row for row in found.tables["width=48"]}
    assert rows["crippled"]["tuned to"] == "lr=0.2"
    assert rows["better"]["tuned to"] == "lr=0.4 (an end)"
    assert rows["better"]["runs"] == ["better-width=48-0.4-0", "better-width=48-0.4-1"]
    assert rows["crippled"]["low"] < rows["crippled"]["difference"] < rows["crippled"]["high"]
    assert "Beside llama" in found.drawings[0].title
    assert len(found.drawings[0].figure().axes) == 2


def test_without_samples_losses_are_compared(study: Any):
    found = conditions(*study({"llama": 2.0, "crippled": 2.6}, scores=False))
    assert "by held-out loss (nats per token): Better than it: none. Worse: crippled" in found.sentences[0]


def test_unlike_likelihoods_stand_side_by_side_with_why_and_are_not_ranked(study: Any):
    unlike = {"likelihood": {"mlm": "masked"}, "method": {"mlm": "mlm"}}
    found = conditions(*study({"clm": 2.0, "fim": 2.1, "mlm": 1.0}, **unlike))
    assert found.sentences[0].startswith("These are not ranked together, since their likelihoods differ in kind: ")
    assert "causal (clm, fim), masked (mlm)." in found.sentences[0]
    assert all(
        "mlm" not in {row["condition"] for row in rows} for title, rows in found.tables.items() if "clm" in title
    )
    assert {row["condition"] for row in found.tables["side by side"]} == {"clm", "fim", "mlm"}


def test_bits_of_other_documents_are_not_ranked(study: Any):
    found = conditions(*study({"prose": 2.0, "again": 2.0, "code": 1.0}, text={"code": "def f(): pass"}))
    assert found.sentences[0].startswith("These are not ranked together: prose, again, and code, since bits per byte")
    assert "of prose and code are not of the same questions: other documents are held out" in found.sentences[0]
    assert {row["condition"] for row in found.tables["width=48, prose and its like"]} == {"prose", "again"}


def test_of_several_checkpoints_the_last_counts(study: Any):
    unlike = {"likelihood": {"mlm": "masked"}, "method": {"mlm": "mlm"}}
    runs, of, rows = study({"clm": 2.0, "mlm": 1.0}, **unlike)
    earlier = [{**row, "checkpoint": 3, "value": 9.0} for row in rows]
    before, after = conditions(runs, of, rows), conditions(runs, of, [*rows, *earlier])
    assert before.tables == after.tables


def test_unlike_losses_without_scores_are_not_ranked(study: Any):
    found = conditions(*study({"clm": 2.0, "mlm": 1.0}, scores=False, method={"mlm": "mlm"}))
    assert "their losses are no values of one thing: clm's is that of clm" in found.sentences[0]
    assert not any("Ranked" in sentence for sentence in found.sentences)


def test_a_condition_without_a_loss_is_named_and_not_ranked(study: Any):
    runs, of, rows = study({"llama": 2.0, "alibi": 2.0, "diverged": 2.0})
    for run in runs:
        if "diverged" in run.id:
            run.update_manifest(result={"held_out_loss": float("nan")})
    found = conditions(runs, of, rows)
    assert "diverged at width=24, diverged at width=48" in found.sentences[-1]
    assert {row["condition"] for row in found.tables["width=48"]} == {"llama", "alibi"}


def test_a_duplicate_that_is_told_apart_is_said_with_how_often_chance_does_so(study: Any):
    said = " ".join(conditions(*study({"llama": 2.0, "llama_again": 2.6})).sentences)
    assert "it is told apart, which chance does once in 10 such studies at most" in said  # 5 % on each of two rungs


def test_one_seed_without_samples_has_no_interval_and_says_so(study: Any):
    found = conditions(*study({"llama": 2.0, "crippled": 2.6}, scores=False, seeds=1))
    assert found.verdict == "not enough data"
    assert "There is one seed for each condition, and samples are not known: no interval" in " ".join(found.sentences)
    assert "Intervals hold" not in " ".join(found.sentences)


def test_one_condition_is_no_comparison(study: Any):
    assert conditions(*study({"llama": 2.0})) is None


# ---------------------------------------------------------------------------------- what is tuned over


class Tried(Trial):
    """A trial without a run."""

    def __init__(self, rate: float, seed: int, loss: float) -> None:
        super().__init__(RunDir(Path("nowhere")), "c", "", (("lr", rate),), (seed,))
        self.__dict__["loss"] = loss


def test_no_seed_is_compared_by_the_luck_of_its_own_choice():
    """Of rates that do not differ, the best of each seed is too low; what the other seeds choose is not."""
    chance, lucky, fair = np.random.default_rng(0), [], []
    for _ in range(400):
        trials = [Tried(rate, seed, chance.normal(2, 0.1)) for rate in (0.1, 0.2, 0.4) for seed in (0, 1)]
        choice = choose(trials)
        fair.append(np.mean([trial.loss for trial in choice.trials.values()]))
        lucky.append(np.mean([t.loss for t in trials if t.setting == choice.setting]))
    error = 0.1 / np.sqrt(2 * 400)
    assert abs(np.mean(fair) - 2) < 4 * error
    assert np.mean(lucky) < 2 - 8 * error


def test_seeds_that_agree_are_compared_at_the_rate_that_both_choose():
    trials = [Tried(rate, seed, loss + seed) for rate, loss in ((0.1, 3.0), (0.2, 2.0), (0.4, 2.5)) for seed in (0, 1)]
    choice = choose(trials)
    assert choice.setting == (("lr", 0.2),)
    assert [trial.loss for trial in choice.trials.values()] == [2.0, 3.0]
    assert (choice.split, choice.at_end) == (False, ())


def test_a_rate_at_which_a_seed_diverges_is_not_chosen():
    trials = [Tried(0.1, 0, 3.0), Tried(0.1, 1, 3.0), Tried(0.2, 0, 1.0), Tried(0.2, 1, float("inf"))]
    assert choose(trials).setting == (("lr", 0.1),)
    assert choose(trials).at_end == ("lr",)
    assert choose(trials[2:]) is None
