"""Checkpoints to rows and samples in run directories."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import torch

from harness.config import from_mapping, plugin_config, to_mapping
from harness.errors import RunFailed, UserError
from harness.files import new_folder, write_json
from harness.interfaces.corpus import Document
from harness.interfaces.suite import HeldOut
from harness.registry import registry
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.scoring.model import LanguageModel
from harness.scoring.samples import samples_path, write_samples
from harness.scoring.score import score_runs
from harness.training.checkpoints import write_weights

HELD_OUT = [HeldOut("plays", [Document(f"line {i}\n" * 9, f"{i}.txt") for i in range(5)])]


def run(folder: Path, width: int = 16, steps: tuple[int, ...] = (10, 20), **data: Any) -> RunDir:
    """A run directory as training leaves it, with random weights."""
    values = {
        "corpus": {"name": "synthetic"},
        "tokenizer": {"name": "bytes"},
        "data": {"sequence_length": 48, **data},
        "architecture": {
            "name": "transformer", "width": width, "layers": 1, "attention": {"name": "multi_head", "heads": 2},
            "position": "rotary", "feedforward": "gated", "norm": "rmsnorm", "head": "language_model",
        },
        "method": "clm",
        "optimizer": "adamw",
        "schedule": "cosine",
        "trainer": {"accelerator": "cpu"},
    }  # fmt: skip
    config = from_mapping(RunConfig, values)
    made = RunDir(folder)
    write_json(folder / "config.json", to_mapping(config))
    write_json(folder / "manifest.json", {"state": "finished"})
    tokenizer = config.tokenizer.train([])
    with new_folder(folder / "tokenizer") as inside:
        tokenizer.save(inside)
    for step in steps:
        torch.manual_seed(step)
        with new_folder(made.checkpoint(step)) as inside:
            write_weights(inside, config.architecture.build(tokenizer.size).state_dict())
    return made


def suite(**options: Any) -> Any:
    return plugin_config("suite", {"name": "offline", "documents": 3, "pairs": 0, "problems": 4, **options}, "suite")


@pytest.fixture
def ladder(tmp_path: Path) -> list[RunDir]:
    return [run(tmp_path / name, width) for name, width in {"small": 8, "middle": 16, "large": 24}.items()]


def test_rows_say_what_was_scored_and_how(tmp_path: Path) -> None:
    scored = run(tmp_path / "run")
    rows = score_runs([scored], suite(), HELD_OUT, quiet=True)
    assert rows == scored.scores()
    assert {row["task"] for row in rows} == {"held_out_plays", "copy", "induction", "addition"}
    row = next(row for row in rows if row["metric"] == "bits_per_byte")
    assert (row["run"], row["checkpoint"], row["suite"], row["n"]) == ("run", 20, "offline", 3)
    assert row["likelihood"] == "causal"
    assert 7 < row["value"] < 12  # random weights over 257 tokens: about log₂ 257
    assert row["stderr"] > 0


def test_the_bits_per_byte_are_the_models_own(tmp_path: Path) -> None:
    """Recomputed from the loaded model, token by token."""
    from harness.training.train import load_model

    scored = run(tmp_path / "run", sequence_length=200)
    rows = score_runs([scored], suite(documents=5, problems=0), HELD_OUT, quiet=True)
    model, _, tokenizer = load_model(scored)
    nats, count = 0.0, 0
    for document in HELD_OUT[0].documents:
        tokens = [tokenizer.end, *tokenizer.encode(document.text)]
        with torch.no_grad():
            logits = model.logits(torch.tensor([tokens[:-1]])).log_softmax(-1)
        nats -= sum(float(logits[0, place, token]) for place, token in enumerate(tokens[1:]))
        count += len(document.text.encode())
    found = {row["metric"]: row["value"] for row in rows}
    assert found["nats_per_token"] == pytest.approx(nats / count, rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(nats / count / 0.6931471805599453, rel=1e-5)


def test_samples_are_parquet(tmp_path: Path) -> None:
    scored = run(tmp_path / "run")
    rows = score_runs([scored], suite(), HELD_OUT, quiet=True)
    path = samples_path(scored, "offline", "addition", 20)
    n, exact, log_likelihood = duckdb.sql(
        f"select count(*), avg(\"metric.exact_match\"), avg(log_likelihoods[1]) from read_parquet('{path}')"
    ).fetchall()[0]
    found = {row["metric"]: row["value"] for row in rows if row["task"] == "addition"}
    assert (n, exact) == (4, found["exact_match"])
    assert log_likelihood == pytest.approx(found["log_likelihood"])
    prompt, target = duckdb.sql(f"select prompt, target from read_parquet('{path}')").fetchall()[0]
    assert prompt.startswith("addition: ")
    assert target.endswith("\n")


def test_a_ladder_builds_its_tasks_once(ladder: list[RunDir], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, built = suite(), []
    monkeypatch.setattr(type(chosen), "build", _counted(type(chosen).build, built))
    rows = score_runs(ladder, chosen, HELD_OUT, quiet=True)
    assert len(built) == 1
    assert {row["run"] for row in rows} == {"small", "middle", "large"}


def _counted(build: Any, calls: list[Any]) -> Any:
    def counted(self: Any, *arguments: Any) -> Any:
        calls.append(self)
        return build(self, *arguments)

    return counted


def test_workers_find_the_same(tmp_path: Path, ladder: list[RunDir]) -> None:
    in_one = score_runs(ladder, suite(), HELD_OUT, quiet=True)
    for each in ladder:
        (each.path / "scores.json").unlink()
    forked = score_runs(ladder, suite(), HELD_OUT, quiet=True, workers=3)
    assert _sorted(forked) == _sorted(in_one)
    assert _sorted([row for each in ladder for row in each.scores()]) == _sorted(in_one)


def test_each_run_is_scored_with_its_own_threads_and_forked_only_where_it_has_one(
    ladder: list[RunDir], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = torch.get_num_threads(), []
    config = ladder[1].config()
    write_json(ladder[1].path / "config.json", config | {"trainer": {**config["trainer"], "threads": 2}})
    score = LanguageModel._score
    monkeypatch.setattr(LanguageModel, "_score", lambda *words: seen.append(torch.get_num_threads()) or score(*words))
    try:
        score_runs(ladder, suite(), HELD_OUT, quiet=True, workers=3)
    finally:
        torch.set_num_threads(before)
    assert list(dict.fromkeys(seen)) == [1, 2], "largest first: 1, then 2, then 1 again"
    assert (seen[0], seen[-1]) == (1, 1)


def test_a_killed_worker_is_reported(ladder: list[RunDir], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LanguageModel, "loglikelihood", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RunFailed, match="scoring process was killed"):
        score_runs(ladder, suite(), HELD_OUT, quiet=True, workers=2)


def test_a_workers_complaint_comes_through(tmp_path: Path) -> None:
    short = [run(tmp_path / name, sequence_length=8) for name in ("a", "b")]
    with pytest.raises(UserError, match=r"data\.sequence_length"):
        score_runs(short, suite(), HELD_OUT, quiet=True, workers=2)


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["run"], row["task"], row["metric"]))


def test_what_is_scored_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored, chosen, built = run(tmp_path / "run"), suite(), []
    monkeypatch.setattr(type(chosen), "build", _counted(type(chosen).build, built))
    score_runs([scored], chosen, HELD_OUT, quiet=True)
    assert score_runs([scored], chosen, HELD_OUT, quiet=True) == []
    assert len(built) == 1
    assert score_runs([scored], chosen, HELD_OUT, checkpoint=10, quiet=True)  # another checkpoint
    assert score_runs([scored], suite(problems=5), HELD_OUT, quiet=True)  # other settings
    assert {row["checkpoint"] for row in scored.scores()} == {10, 20}


def test_settings_that_were_replaced_are_scored_again(tmp_path: Path) -> None:
    """Other settings took the place of some rows: the first ones are no longer all there."""
    scored = run(tmp_path / "run")
    score_runs([scored], suite(), HELD_OUT, quiet=True)
    score_runs([scored], suite(documents=0), HELD_OUT, quiet=True)
    assert score_runs([scored], suite(), HELD_OUT, quiet=True)


def test_runs_with_their_own_tokenizers(tmp_path: Path) -> None:
    first, second = run(tmp_path / "first"), run(tmp_path / "second")
    config = second.config() | {"tokenizer": {"name": "characters"}}
    write_json(second.path / "config.json", config)
    tokenizer = registry().get("tokenizer", "characters")().train(["".join(map(chr, range(10, 127)))])
    (second.path / "tokenizer").rename(second.path / "old")
    with new_folder(second.path / "tokenizer") as folder:
        tokenizer.save(folder)
    model = from_mapping(RunConfig, config).architecture.build(tokenizer.size)
    second.checkpoint(20).rename(second.path / "older")
    with new_folder(second.checkpoint(20)) as folder:
        write_weights(folder, model.state_dict())
    rows = score_runs([first, second], suite(), HELD_OUT, quiet=True)
    assert {row["run"] for row in rows} == {"first", "second"}


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint at step 15 to score; it has 10, 20"):
        score_runs([run(tmp_path / "run")], suite(), HELD_OUT, checkpoint=15)
    with pytest.raises(UserError, match="has no checkpoint to score; it has none"):
        score_runs([run(tmp_path / "empty", steps=())], suite(), HELD_OUT)


def test_a_suite_with_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no task to ask"):
        score_runs([run(tmp_path / "run")], suite(problems=0), [], quiet=True)


def test_samples_with_lone_surrogates_can_be_kept(tmp_path: Path) -> None:
    made = run(tmp_path / "run")
    write_samples(made, "s", "odd/name", 20, [{"document": 0, "prompt": "\ud800", "choices": ["\udfff", "b"]}])
    path = samples_path(made, "s", "odd/name", 20)
    assert path.name == "odd_name@20.parquet"
    assert duckdb.sql(f"select prompt, choices from read_parquet('{path}')").fetchall() == [("?", ["?", "b"])]


def test_a_context_too_short_for_the_questions_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.sequence_length"):
        score_runs([run(tmp_path / "run", sequence_length=8)], suite(), HELD_OUT, quiet=True)
    assert RunDir(tmp_path / "run").scores() == []


def test_a_line_for_each_model(ladder: list[RunDir], capsys: pytest.CaptureFixture[str]) -> None:
    score_runs(ladder, suite(documents=0, problems=1), [])
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("3 of 3 models scored")
    assert not [line for line in lines if "it/s" in line]  # none of lm-eval's own bars


def test_nothing_to_say_when_nothing_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored = run(tmp_path / "run")
    score_runs([scored], suite(), HELD_OUT, quiet=True)
    score_runs([scored], suite(), HELD_OUT)
    assert capsys.readouterr().err == ""
