"""Runs that start from others, as a person types them."""

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.rundir import RunDir

TINY = [
    "experiment=tiny",
    "tokenizer=bytes",
    "corpus=synthetic",
    "data.batch_size=4",
    "data.sequence_length=32",
    "suite=null",
]
WSD = ["schedule=warmup_stable_decay", "schedule.warmup_steps=2"]


def tokens(steps: int) -> str:
    return f"budget.tokens={steps * 4 * 32}"


def new_run(*words: str) -> RunDir:
    before = set(Path("runs").glob("*/manifest.json"))
    assert main(["train", *TINY, *words]) == 0
    (made,) = set(Path("runs").glob("*/manifest.json")) - before
    return RunDir(made.parent)


@pytest.mark.slow
def test_continue_init_and_a_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.chdir(tmp_path)
    trunk = new_run(*WSD, "schedule.decay_steps=0", tokens(20))
    branch = [*WSD, "schedule.decay_steps=5", tokens(25), f"parents.continue={trunk.id[:6]}"]
    run = new_run(*branch)
    assert run.manifest()["identity"]["parents"] == {"continue": f"{trunk.id}@20"}
    assert [(a["from_step"], a["to_step"]) for a in run.manifest()["attempts"]] == [(20, 25)]
    assert [run.manifest()["budget"][key] for key in ("steps", "own_steps", "own_tokens")] == [25, 5, 5 * 128]

    capsys.readouterr()
    assert main(["train", *TINY, *branch]) == 0
    assert f"run {run.id} reused" in capsys.readouterr().out
    query = "select continues, own_steps, steps from runs where continues is not null"
    assert main(["results", "--json", "--sql", query]) == 0
    assert json.loads(capsys.readouterr().out) == [{"continues": f"{trunk.id}@20", "own_steps": 5, "steps": 25}]

    assert main(["train", *TINY, *WSD, tokens(15), f"parents.continue={trunk.id}"]) == 2
    assert "the parent is at step 20" in " ".join(capsys.readouterr().err.split())

    tuned = new_run(f"parents.init={run.id}", "data.held_out=0.2", tokens(3), "optimizer=lion")
    assert tuned.metrics()[-1]["step"] == 3
    assert f"{run.id}@25 held out data.held_out=0.05" in caplog.text

    assert main(["export", run.id, "to=folder"]) == 0
    parts = json.loads((run.path / "config.json").read_text())["architecture"]
    assert main(["train", *TINY, f"architecture.width={parts['width']}", "parents.init=folder", tokens(4)]) == 0
