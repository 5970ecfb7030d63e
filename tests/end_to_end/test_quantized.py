"""A model of the ladder in int8, as a person types it: scored, reused, sampled, exported. Prints its figures (`-s`)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.rundir import RunDir

pytestmark = pytest.mark.slow

#: Width 64 and 4 layers of a LLaMA with a head of its own over 257 bytes: 93 % of its parameters are in Linears.
MOSTLY_LINEAR = ["scale=ladder", "tokenizer=bytes", "architecture.head.tied=false", "trainer.accelerator=cpu"]
LEARNS = ["data.batch_size=8", "schedule.warmup=0.05", "budget.tokens=400000"]
SUITE = ["suite.limit=100"]


def new_run(*words: str) -> RunDir:
    before = set(Path("runs").glob("*/manifest.json"))
    assert main(["train", *words]) == 0
    (made,) = set(Path("runs").glob("*/manifest.json")) - before
    return RunDir(made.parent)


def results(sql: str, capsys: pytest.CaptureFixture) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["results", "--json", "--sql", sql]) == 0
    return json.loads(capsys.readouterr().out)


def test_int8_of_a_model_that_is_mostly_linear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    parent = new_run(*MOSTLY_LINEAR, *LEARNS, *SUITE)
    int8 = ["objective=null", "quantizer=int8", f"parents.init={parent.id}", *SUITE]
    ways = {way: new_run(*int8, f"quantizer.activations={way}") for way in ("none", "dynamic")}

    query = "select run, value from scores where metric = 'bits_per_byte' and task like 'held_out%'"
    bits = {row["run"]: row["value"] for row in results(query, capsys)}
    for way, run in ways.items():
        told = run.manifest()["quantization"]
        share = told["bytes"] / told["bytes_in_float32"]
        with capsys.disabled():
            print(
                f"\nactivations {way}: {bits[run.id]:.5f} bits per byte, {bits[parent.id]:.5f} before "
                f"({bits[run.id] / bits[parent.id] - 1:+.4%}); {told['bytes']:,} bytes, {share:.3f} of float32's; "
                f"{told['share']:.1%} of the parameters quantized; error {told['error_of_all']:.4f}"
            )
        assert bits[run.id] == pytest.approx(bits[parent.id], rel=0.01)
        assert bits[run.id] != bits[parent.id]
        assert share <= 0.35
    assert bits[parent.id] < 4, "it has learned something"

    query = "select id, quantizer, method, steps, model_bytes from runs where quantizer is not null order by id"
    rows = results(query, capsys)
    assert {row["id"] for row in rows} == {run.id for run in ways.values()}
    assert {(row["quantizer"], row["method"], row["steps"]) for row in rows} == {("int8", None, 0)}

    before = sorted((file, file.stat().st_mtime_ns) for file in Path("runs").rglob("*") if file.is_file())
    assert main(["train", *int8]) == 0
    assert re.search(f"run {ways['none'].id} reused: 9.% of the parameters", capsys.readouterr().out)
    assert before == sorted((file, file.stat().st_mtime_ns) for file in Path("runs").rglob("*") if file.is_file())
    assert main(["why", *int8]) == 0
    assert f"run {ways['none'].id}: reuse" in capsys.readouterr().out

    assert main(["generate", f"run={ways['dynamic'].id}", "prompt=def ", "tokens=8", "sampler=greedy"]) == 0
    assert capsys.readouterr().out.strip()
    assert main(["export", ways["none"].id, "to=out"]) == 0
    assert "are written as the floats that its few bits stand for" in capsys.readouterr().err
    back = new_run(*MOSTLY_LINEAR, "suite=null", "parents.init=out", "budget.steps=1")
    assert back.state() == "finished"
