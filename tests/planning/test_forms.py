"""What a method reads and what a corpus holds: told before anything is made, where they do not fit."""

import json
from pathlib import Path

import pytest

from harness.composition import run_config
from harness.config import ConfigError
from harness.planning.plan import resolve

MIX = "+corpus.sources={a: {name: python_stdlib, weight: 1}, b: {name: python_tasks, weight: 1}}"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["corpus=python_tasks"], "objective=clm reads documents, and corpus=python_tasks holds conversations"),
        (["objective=sft", "corpus=python_stdlib"], "objective=sft reads conversations, .* holds documents"),
        (
            ["objective=sft", "corpus=python_tasks", "corpus.examples=preferences"],
            "objective=sft reads conversations, and corpus=python_tasks holds preferences",
        ),
        (["alignment=dpo", "corpus=python_tasks"], "alignment=dpo reads preferences, .* holds conversations"),
        (["corpus=mix", MIX], "corpus=mix mixes several forms: a documents, b conversations"),
    ],
)
def test_a_method_and_a_corpus_of_another_form_are_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve(run_config(["experiment=tiny", "tokenizer=bytes", *overrides]))


def test_the_form_of_the_user_s_own_is_that_of_the_first_row(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}) + "\n")
    words = ["experiment=tiny", "tokenizer=bytes", "objective=sft", "corpus=examples", f"corpus.path={tmp_path}"]
    with pytest.raises(ConfigError, match=r"corpus=examples holds preferences"):
        resolve(run_config(words))
