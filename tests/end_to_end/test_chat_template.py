"""A chat template whose answers end with a mark of its own, not with the tokenizer's end: learned, and stopped at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.rundir import RunDir
from tests.plugins.tokenizer.test_chat_template import CHAT_ML, folder

pytestmark = pytest.mark.slow

ASKED = "<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\n"


def test_an_answer_that_was_learned_ends_where_the_template_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    marked = folder(tmp_path / "marked", CHAT_ML, marks=("<|im_start|>", "<|im_end|>"))
    rows = [{"messages": [{"role": "user", "content": f"{letter}?"}, {"role": "assistant", "content": "yes"}]} for letter in "abcdefgh" * 8]  # fmt: skip
    (tmp_path / "talks.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    words = [
        "experiment=tiny", "corpus=examples", "corpus.path=talks.jsonl", "objective=sft", "suite=null",
        "tokenizer=huggingface", "data.template=tokenizer", "data.sequence_length=64", "budget.steps=60",
        "budget.tokens=null", "optimizer.lr=0.01",
    ]  # fmt: skip
    assert main(["train", *words, f"tokenizer.folder={marked}"]) == 0
    (run,) = (RunDir(path.parent) for path in (tmp_path / "runs").glob("*/manifest.json"))
    capsys.readouterr()
    assert main(["generate", f"run={run.id}", f"prompt={ASKED}", "sampler=greedy", "tokens=40"]) == 0
    assert capsys.readouterr().out == "yes\n"

    bare = folder(tmp_path / "bare", CHAT_ML)
    assert main(["train", *words, f"tokenizer.folder={bare}"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "behind an answer the tokenizer's chat template writes '<|im_end|>\\n', which is no single token" in said
    assert "Traceback" not in said
    assert len(list((tmp_path / "runs").glob("*/manifest.json"))) == 1
