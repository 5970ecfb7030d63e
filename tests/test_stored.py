"""A run that was made by a plugin that is not here: what needs the plugin says which, and the rest goes on."""

import json
import os
import shutil
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import UserError
from harness.files import read_json, write_json
from harness.rundir import RunDir
from harness.stored import stored_config

WORDS = ["experiment=tiny", "budget.tokens=2048", "suite=null", "tokenizer=bytes", "corpus=synthetic"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny run, and a copy that says of itself that a stranger's parts made it."""
    folder, before = tmp_path_factory.mktemp("stored"), Path.cwd()
    os.chdir(folder)
    try:
        assert main(["train", *WORDS, "corpus.documents=100"]) == 0
    finally:
        os.chdir(before)
    (run,) = [RunDir(path.parent) for path in folder.glob("runs/*/manifest.json")]
    runs = run, RunDir(run.path.with_name("strange"))
    shutil.copytree(run.path, runs[1].path)
    strange(runs[1])
    return runs


def strange(run, versions=None, method="simpo"):
    config = read_json(run.path / "config.json")
    write_json(run.path / "config.json", {**config, "method": {"name": method, "beta": 2.0}})
    code = run.manifest()["code"]
    run.update_manifest(code={**code, "versions": versions or {"harness-gadgets": "0.3", "harness-lm": "0.1.0"}})


@pytest.fixture
def runs(made, monkeypatch):
    monkeypatch.chdir(made[0].path.parent.parent)
    return made


@pytest.mark.parametrize(
    "words",
    [
        "score run={}",
        "why {}",
        "generate run={} prompt=x",
        "export {} to=elsewhere",
        "train experiment=tiny parents.init={}",
    ],
)
def test_what_needs_the_plugin_says_its_kind_its_name_and_its_distribution(runs, capsys, words):
    assert main(words.format(runs[1].id).split()) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"Run {runs[1].id} was made with the objective or alignment simpo, which no plugin here has." in said
    assert "Its manifest names harness-gadgets 0.3: install that." in said


def test_it_is_listed_and_compared_all_the_same(runs, capsys):
    for words in (["results", "--json"], ["status", "--json"]):
        assert main(words) == 0
        assert {row["id"] for row in json.loads(capsys.readouterr().out)} == {run.id for run in runs}
    assert main(["diff", runs[0].id, runs[1].id, "--json"]) == 0
    figures = {row["what"]: row for row in json.loads(capsys.readouterr().out)["figures"]}
    assert figures["held_out_loss"]["b"] is not None
    assert figures["held_out_loss"]["b"] == runs[1].manifest()["result"]["held_out_loss"]


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"HARNESS_PLUGINS": "-"}, "from a module that HARNESS_PLUGINS named: name it again"),
        ({"harness-lm": "0.0.1"}, "names no distribution but harness-lm"),
        ({"b": "2", "a": "1"}, "names a 1 and b 2: install that"),
    ],
)
def test_the_distribution_is_told_as_far_as_the_manifest_knows_it(runs, tmp_path, versions, said):
    run = RunDir(tmp_path / "run")
    write_json(run.path / "config.json", read_json(runs[0].path / "config.json"))
    run.update_manifest(code={})
    strange(run, versions)
    with pytest.raises(UserError, match=said):
        stored_config(run)


def test_a_part_of_the_architecture_is_told_by_its_kind(runs, tmp_path):
    config = read_json(runs[0].path / "config.json")
    run = RunDir(tmp_path / "run")
    write_json(
        run.path / "config.json", {**config, "architecture": {**config["architecture"], "attention": {"name": "mean"}}}
    )
    run.update_manifest(code={"versions": {"harness-gadgets": "0.3"}})
    with pytest.raises(UserError, match="made with the attention mean, which no plugin here has"):
        stored_config(run)
