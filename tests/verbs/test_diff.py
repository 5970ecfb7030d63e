"""harness diff: what two runs do not share, and by how much their scores differ."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from harness.cli import main
from harness.rundir import RunDir
from harness.scoring.samples import write_samples


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two tiny runs that differ in the learning rate, with made-up scores on the same four samples."""
    folder, before = tmp_path_factory.mktemp("diff"), Path.cwd()
    os.chdir(folder)
    try:
        words = ["experiment=tiny", "budget.tokens=2048", "suite=null", "tokenizer=bytes", "corpus=synthetic"]
        for lr in ("0.01", "0.02"):
            assert main(["train", *words, "corpus.documents=100", f"optimizer.lr={lr}"]) == 0
    finally:
        os.chdir(before)
    runs = [RunDir(path.parent) for path in folder.glob("runs/*/manifest.json")]
    runs.sort(key=lambda run: run.config()["optimizer"]["lr"])
    for run, right in zip(runs, ([1, 1, 0, 1], [1, 0, 0, 0]), strict=True):
        scored(run, "quiz", right)
    scored(runs[0], "only one has it", [1, 0])
    return runs


def scored(run, task, right, **changes):
    row = {
        "run": run.id,
        "checkpoint": 2,
        "suite": "s",
        "task": task,
        "metric": "acc",
        "value": sum(right) / len(right),
    }
    run.add_scores([{**row, "stderr": 0.25, "n": len(right), "likelihood": "causal", **changes}])
    blank = {"filter": "none", "prompt": "?", "target": "!", "responses": [], "choices": [], "log_likelihoods": []}
    write_samples(run, "s", task, 2, [{"document": i, **blank, "metric.acc": float(x)} for i, x in enumerate(right)])


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    """A copy of them, to work in."""
    shutil.copytree(made[0].path.parent, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return [RunDir(tmp_path / "runs" / run.id) for run in made]


def found(capsys, *runs):
    capsys.readouterr()
    assert main(["diff", *(run.id for run in runs), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_only_what_differs_of_the_configs(runs, capsys):
    assert found(capsys, *runs)["config"] == [{"key": "optimizer.lr", "a": "0.01", "b": "0.02"}]
    assert found(capsys, runs[0], runs[0])["config"] == []


def test_figures_stand_side_by_side(runs, capsys):
    figures = {row["what"]: row for row in found(capsys, *runs)["figures"]}
    assert figures["tokens"] == {"what": "tokens", "a": 2048, "b": 2048, "difference": 0, "stderr": None}
    assert (figures["loss_in"]["a"], runs[0].manifest()["model"]["loss_in"]) == ("nats per token",) * 2
    results = [run.manifest()["result"] for run in runs]
    loss = figures["held_out_loss"]
    assert loss["difference"] == results[0]["held_out_loss"] - results[1]["held_out_loss"]
    assert loss["stderr"] is None, "both are of the same sequences: the errors of the two say nothing of it"


def test_scores_on_the_same_samples_are_paired(runs, capsys):
    (row,) = found(capsys, *runs)["scores"]
    assert (row["a"], row["b"], row["difference"], row["paired"], row["n"]) == (0.75, 0.25, 0.5, True, 4)
    # The samples differ by 0, 1, 0, 1: their standard deviation over √4.
    assert row["stderr"] == pytest.approx((4 * 0.25 / 3) ** 0.5 / 2)


def test_without_samples_the_errors_are_added(runs, capsys):
    shutil.rmtree(runs[1].path / "samples")
    (row,) = found(capsys, *runs)["scores"]
    assert (row["paired"], row["stderr"]) == (False, pytest.approx(0.25 * 2**0.5))


def test_two_kinds_of_likelihood_have_no_difference(runs, capsys):
    scored(runs[1], "quiz", [1, 0, 0, 0], likelihood="pseudo")
    (row,) = found(capsys, *runs)["scores"]
    assert (row["difference"], row["stderr"], row["paired"]) == (None, None, False)


DPO = {"name": "dpo", "beta": 0.1}


def aligned(run, data="", **method):
    """Says of a run that it was trained by a method, and what was measured."""
    manifest = run.manifest()
    identity = manifest["identity"]
    identity = {**identity, "config": {**identity["config"], "method": method}, "data": data or identity["data"]}
    measures = {"margin": {"value": method.get("beta", 0.0), "stderr": 0.03, "n": 7}}
    result = {**manifest["result"], "held_out_measures": measures}
    run.update_manifest(identity=identity, result=result, model={**manifest["model"], "loss_in": "nats per pair"})


@pytest.mark.parametrize(
    ("of_b", "said"),
    [
        ({**DPO, "beta": 0.4}, r"dpo has other options in a \(beta=0\.1\) than in b \(beta=0\.4\)"),
        ({"name": "reward_model"}, r"a's is that of dpo \(nats per pair\) and b's that of reward_model"),
        ({**DPO, "data": "others"}, "the corpus, what is held out of it, or the tokenizer is another one"),
    ],
)
def test_unlike_losses_and_measures_have_no_difference_and_it_is_said_why(runs, capsys, of_b, said):
    aligned(runs[0], **DPO)
    aligned(runs[1], **of_b)
    told = found(capsys, *runs)
    figures = {row["what"]: row for row in told["figures"]}
    for row in (figures["held_out_loss"], figures["train_loss"], *told["measures"]):
        assert (row["difference"], row["stderr"]) == (None, None)
        assert None not in (row["a"], row["b"]), "the values themselves are shown"
    assert re.search(said, told["unlike"])
    assert "suite=stages" in told["unlike"]
    assert figures["tokens"]["difference"] == 0
    assert main(["diff", *(run.id for run in runs)]) == 0
    assert told["unlike"] in capsys.readouterr().out


def test_measures_of_one_method_on_the_same_data_are_subtracted(runs, capsys):
    aligned(runs[0], **DPO)
    aligned(runs[1], **DPO)
    told = found(capsys, *runs)
    assert told["unlike"] == ""
    assert told["measures"] == [{"measure": "margin", "a": 0.1, "b": 0.1, "difference": 0.0, "stderr": None}]


def test_what_has_no_loss_is_not_said_to_have_another(runs, capsys):
    aligned(runs[1], **DPO)
    runs[1].update_manifest(result={"held_out_loss": None})
    assert found(capsys, *runs)["unlike"] == ""


def test_the_table_says_which_is_which(runs, capsys):
    assert main(["diff", runs[0].id, str(runs[1].path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"a: runs/{runs[0].id}\nb: {runs[1].path}\n")
    assert "scores at step 2 of a and 2 of b" in out


def test_what_differs_of_the_machine_is_shown_too(runs, capsys):
    fingerprint = runs[0].manifest()["fingerprint"]
    runs[1].update_manifest(fingerprint={**fingerprint, "threads": 7})
    (row,) = found(capsys, *runs)["fingerprint"]
    assert (row["key"], row["b"]) == ("threads", "7")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs two runs, as ids or folders; found none"),
        (["a"], "found a."),
        (["zzz", "yyy"], "There is no run zzz"),
    ],
)
def test_two_runs_are_asked_for(runs, words, said, capsys):
    assert main(["diff", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
