"""A run on another corpus keeps the tokenizer of the run that it starts from: its tokens mean what they meant."""

import json
from pathlib import Path

import pytest
import torch

from harness.cli import main
from harness.composition import run_config
from harness.planning.plan import Plan, resolve
from harness.rundir import RunDir
from harness.training.train import load_model
from tests import conversations

TINY = [
    "experiment=tiny", "architecture.width=16", "tokenizer.size=280", "data.batch_size=4", "data.sequence_length=32",
    "budget.tokens=512", "data.held_out=0.3", "suite=null",
]  # fmt: skip
UNCHANGED = ["optimizer.lr=0"]


def words_of(folder: Path, *words: str) -> str:
    """A corpus whose merges are those of its own words."""
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.txt").write_text(
            f"{number} " + " ".join(words[(number + i * i) % len(words)] for i in range(60))
        )
    return f"corpus.path={folder}"


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """Two, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    conversations.register(monkeypatch)
    first = words_of(tmp_path / "first", "alpha", "beta", "gamma")
    second = words_of(tmp_path / "second", "xyzzy", "plugh", "quux")
    return [*TINY, "corpus=text", first], [*TINY, "corpus=text", second]


def planned(words: list[str], *parents: Plan) -> Plan:
    return resolve(run_config(words), {parent.id: parent for parent in parents})


def train(words: list[str]) -> RunDir:
    plan = planned(words)
    assert main(["train", *words]) == 0
    return RunDir(Path("runs") / plan.id)


def files(run: RunDir) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (run.path / "tokenizer").iterdir()}


@pytest.mark.slow
def test_the_child_keeps_tokenizer_and_embeddings(
    corpora: tuple[list[str], list[str]], capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
):
    first, second = corpora
    parent = train(first)
    child = train([*second, *UNCHANGED, f"parents.init={parent.id}"])
    alone = train(second)
    assert files(child) == files(parent) != files(alone)
    before, after = (load_model(run)[0].state_dict() for run in (parent, child))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert "held out" not in caplog.text

    assert main(["generate", f"run={child.id}", "prompt=xyzzy", "tokens=4"]) == 0
    assert main(["score", f"run={child.id}", "suite=offline"]) == 0
    capsys.readouterr()
    query = "select run, likelihood from scores where metric = 'bits_per_byte' group by all"
    assert main(["results", "--json", "--sql", query]) == 0
    assert json.loads(capsys.readouterr().out) == [{"run": child.id, "likelihood": "causal"}]

    grandchild = train([*TINY, "corpus=talks", "objective=sft", "data.sequence_length=96", f"parents.init={child.id}"])
    assert files(grandchild) == files(parent)
    assert main(["generate", f"run={grandchild.id}", "prompt=1 beta?", "tokens=4"]) == 0
    result = grandchild.manifest()["result"]
    assert result["held_out_measures"]["answer_accuracy"]["n"] == result["held_out_tokens"] > 0
    anew = train([*second, *UNCHANGED, f"parents.init={parent.id}", "data.retrain_tokenizer=true"])
    assert files(anew) == files(alone)


@pytest.mark.slow
def test_a_planned_parent_gives_the_child_the_id_that_a_finished_one_gives(corpora: tuple[list[str], list[str]]):
    """Otherwise a study that is launched again would train the child twice."""
    first, second = corpora
    parent = planned(first)
    of_child = [*second, f"parents.init={parent.id}"]
    child = planned(of_child, parent)
    of_grandchild = [*TINY, "corpus=talks", "objective=sft", "data.sequence_length=96", f"parents.init={child.id}"]
    grandchild = planned(of_grandchild, parent, child)
    for words, plan in ((first, parent), (of_child, child), (of_grandchild, grandchild)):
        assert train(words).id == plan.id


def test_what_is_inherited_stands_in_the_id(corpora: tuple[list[str], list[str]]):
    first, second = corpora
    parent = planned(first)
    start = f"parents.init={parent.id}"
    child, anew = planned([*second, start], parent), planned([*second, start, "data.retrain_tokenizer=true"], parent)
    assert child.inherited is not None
    assert anew.inherited is None
    assert child.id != anew.id
    assert child.dataset().tokenizer.encode("alpha beta") == parent.dataset().tokenizer.encode("alpha beta")
    assert anew.dataset().tokenizer.encode("alpha beta") != parent.dataset().tokenizer.encode("alpha beta")


def test_nothing_is_inherited_where_both_would_learn_the_same_or_not_alike(corpora: tuple[list[str], list[str]]):
    first, second = corpora
    parent = planned(first)
    start = f"parents.init={parent.id}"
    assert planned([*first, start], parent).inherited is None
    assert planned([*second, start, "tokenizer.size=270"], parent).inherited is None
    by_bytes = [word for word in second if word != "tokenizer.size=280"]
    assert planned([*by_bytes, start, "tokenizer=bytes"], parent).inherited is None
    assert "tokenizer" in planned([*second, start], parent).identity
