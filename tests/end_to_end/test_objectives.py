"""Objectives that rearrange, hide or mix: trained, scored in the form in which each is trained, and asked to write."""

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.rundir import RunDir
from harness.stored import likelihood_of

pytestmark = pytest.mark.slow

TINY = [
    "experiment=tiny", "architecture.width=16", "architecture.layers=2", "architecture.attention.heads=2",
    "tokenizer=bytes", "data.batch_size=8", "data.sequence_length=48", "budget.tokens=12000", "corpus=synthetic",
    "corpus.documents=300", "trainer.checkpoints=2",
]  # fmt: skip
SCORED = ["suite.documents=4", "suite.excerpt_bytes=100", "suite.problems=4", "suite.pairs=0"]
BOTH = "architecture=encoder_decoder"
MIX = ["objective=mixture", "+method.objectives.clm.name=clm", "+method.objectives.span.rate=0.2"]

CASES = {
    "fim": (["objective=fim"], "causal"),
    "bart": (["objective=bart", BOTH], "denoising"),
    "ul2": (["objective=ul2"], "sequential"),
    "ul2-both": (["objective=ul2", BOTH], "sequential"),
    "mixture": ([*MIX, "method.scored_as=span", "+method.weights.clm=2"], "infilling"),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def the_run(runs: str = "runs") -> RunDir:
    (found,) = Path(runs).glob("*/manifest.json")
    return RunDir(found.parent)


@pytest.mark.parametrize("name", CASES)
def test_it_learns_is_scored_and_writes(name: str, capfd: pytest.CaptureFixture) -> None:
    words, kind = CASES[name]
    assert main(["train", *TINY, *SCORED, *words]) == 0
    run = the_run()
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0] - 0.5
    assert likelihood_of(run) == kind
    capfd.readouterr()
    assert main(["results", "--json", "--sql", "select task, likelihood, value from scores"]) == 0
    scores = json.loads(capfd.readouterr().out)
    assert {row["likelihood"] for row in scores} == {kind}
    assert main(["generate", f"run={run.id}", "prompt=copy", "tokens=8"]) == 0


@pytest.mark.parametrize("other", [["trainer.micro_batch=2"], ["data.workers=1"]], ids=lambda words: words[0])
def test_a_mixture_learns_the_same_from_micro_batches_and_from_workers(other: list[str]) -> None:
    words = [*TINY, *MIX, "method.scored_as=clm", "suite=null", "budget.tokens=3000"]
    assert main(["train", *words, "runs=one"]) == 0
    assert main(["train", *words, *other, "runs=two"]) == 0
    one, two = (the_run(runs).manifest()["result"] for runs in ("one", "two"))
    assert one["held_out_loss"] == pytest.approx(two["held_out_loss"], rel=1e-4)
    assert set(one["held_out_measures"]) == {"clm", "span"}
