"""Run directories become one table; a query sees that table and nothing else."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.files import write_json
from harness.results.query import (
    EVERYTHING,
    TABLES,
    overview,
    query,
    tables_told,
)
from harness.results.rows import run_rows, score_rows
from harness.rundir import RunDir


def make_run(
    runs: Path, id: str, *, loss: float = 3.0, config: dict[str, Any] | None = None, **manifest: Any
) -> RunDir:
    run = RunDir(runs / id)
    write_json(run.path / "config.json", config or {"architecture": {"name": "transformer", "width": 24}, "seed": 7})
    budget = {"steps": 10, "tokens": 10240, "flops": 1e9, "flops_6nd": 9e8}
    given = {"state": "finished", "budget": budget, "result": {"held_out_loss": loss}, **manifest}
    write_json(run.path / "manifest.json", {"id": id, **given})
    return run


def a_score(task: str = "quote", value: float = 0.75) -> dict[str, Any]:
    about = {"checkpoint": 10, "suite": "offline", "metric": "acc", "stderr": 0.03, "n": 200, "likelihood": "causal"}
    return {**about, "task": task, "value": value}


def test_a_row_says_what_was_asked_for_what_it_amounts_to_and_what_came_of_it(tmp_path):
    make_run(tmp_path, "aa", loss=2.5)
    (row,) = run_rows(tmp_path)
    assert (row["id"], row["state"], row["architecture"], row["width"]) == ("aa", "finished", "transformer", 24)
    assert (row["tokens"], row["flops"], row["held_out_loss"]) == (10240, 1e9, 2.5)
    assert row["layers"] is None, "what a run does not say is unknown, not an error"


def test_a_seed_of_its_own_wins_over_the_seed_of_everything(tmp_path):
    make_run(tmp_path, "aa", config={"seed": 7, "seeds": {"init": 0, "data": None}})
    (row,) = run_rows(tmp_path)
    assert (row["seed_init"], row["seed_data"], row["seed_noise"]) == (0, 7, 7)


def test_runs_can_be_told_apart_by_how_they_were_computed(tmp_path):
    for id, threads in (("aa", 1), ("bb", 1), ("cc", "1, then 2")):
        make_run(tmp_path, id, fingerprint={"device": "cpu AVX512", "threads": threads})
    rows = query(tmp_path, "SELECT device, threads, count(*) n FROM runs GROUP BY numerics, device, threads ORDER BY n")
    assert [(row["device"], row["threads"], row["n"]) for row in rows] == [
        ("cpu AVX512", "1, then 2", 1),
        ("cpu AVX512", "1", 2),
    ]


def test_sql_joins_runs_and_their_scores(tmp_path):
    make_run(tmp_path, "aa", loss=2.5).add_scores([a_score(value=0.9), a_score("bracket", 0.6)])
    make_run(tmp_path, "bb", loss=3.5).add_scores([a_score(value=0.5)])
    sql = "SELECT id, value FROM runs JOIN scores ON run = id WHERE task = 'quote' ORDER BY held_out_loss DESC"
    assert query(tmp_path, sql) == [{"id": "bb", "value": 0.5}, {"id": "aa", "value": 0.9}]
    assert len(list(score_rows(tmp_path))) == 3


def test_every_option_of_every_run_can_be_asked_for(tmp_path):
    make_run(tmp_path, "aa", config={"data": {"sizes": [1, 2], "mask": None}, "method": {"name": "clm"}})
    rows = query(tmp_path, "SELECT key, value FROM options ORDER BY key")
    assert {row["key"]: row["value"] for row in rows} == {
        "data.mask": "null",
        "data.sizes": "[1, 2]",
        "method.name": "clm",
    }


MEASURES = {
    "preference_accuracy": {"value": 0.75, "stderr": 0.02, "n": 504.0},
    "kl": {"value": 0.1, "stderr": None, "n": 7},
}


def test_what_a_method_measures_can_be_asked_for_like_scores(tmp_path):
    make_run(tmp_path, "aa", result={"held_out_loss": 0.7, "held_out_measures": MEASURES})
    make_run(tmp_path, "bb")
    assert query(tmp_path, "SELECT * FROM measures") == [
        {"run": "aa", "name": "preference_accuracy", "value": 0.75, "stderr": 0.02, "n": 504},
        {"run": "aa", "name": "kl", "value": 0.1, "stderr": None, "n": 7},
    ]
    sql = "SELECT id FROM runs LEFT JOIN measures ON run = id WHERE name IS NULL"
    assert query(tmp_path, sql) == [{"id": "bb"}]


@pytest.mark.parametrize("told", [{"kl": 0.1}, ["kl"], {"kl": {"value": "low", "n": None}}])
def test_measures_that_are_none_are_unknown(tmp_path, told):
    make_run(tmp_path, "aa", result={"held_out_measures": told})
    assert all(row["value"] is None for row in query(tmp_path, "SELECT * FROM measures"))


def test_a_row_says_what_its_loss_is_told_in(tmp_path):
    """As the manifest says; where an older one does not, as the method does, which may not be installed."""
    make_run(tmp_path, "aa", model={"loss_in": "nats per frame"}, config={"method": {"name": "clm"}})
    for id, method in (("bb", "clm"), ("cc", "sft"), ("dd", "dpo"), ("ee", "grpo"), ("ff", "strangers")):
        make_run(tmp_path, id, config={"method": {"name": method}})
    rows = query(tmp_path, "SELECT id, loss_in FROM runs ORDER BY id")
    assert [row["loss_in"] for row in rows] == [
        "nats per frame", "nats per token", "nats per answer token", "nats per pair", "units of advantage", None,
    ]  # fmt: skip


def test_adapter_and_quantizer_are_columns(tmp_path):
    make_run(tmp_path, "aa", config={"adapter": {"name": "lora"}, "quantizer": {"name": "int8"}})
    assert query(tmp_path, "SELECT adapter, quantizer FROM runs") == [{"adapter": "lora", "quantizer": "int8"}]


def test_the_overview_has_no_column_of_which_no_run_says_anything(tmp_path):
    make_run(tmp_path, "aa", config={"method": {"name": "dpo"}, "adapter": {"name": "lora"}})
    make_run(tmp_path, "bb", config={"method": {"name": "clm"}, "adapter": None})
    rows = overview(tmp_path)
    assert [(row["method"], row["adapter"]) for row in rows] == [("dpo", "lora"), ("clm", None)]
    assert "quantizer" not in rows[0]


def test_the_tables_are_told_with_what_their_columns_mean():
    said = tables_told()
    for table, (columns, _) in TABLES.items():
        assert f"{table}:\n" in said
        assert all(f"  {column.name} " in said and column.meaning in said for column in columns)


def test_a_diverged_run_sorts_behind_the_others(tmp_path):
    make_run(tmp_path, "aa", loss=math.nan)
    make_run(tmp_path, "bb", loss=2.0)
    assert [row["id"] for row in query(tmp_path, "SELECT id FROM runs ORDER BY held_out_loss")] == ["bb", "aa"]


def test_an_empty_folder_is_an_empty_table(tmp_path):
    assert query(tmp_path, EVERYTHING) == []
    assert overview(tmp_path) == []


def test_the_overview_names_what_was_varied(tmp_path):
    for id, position, width in [("aa", "alibi", 16), ("bb", "rotary", 16), ("cc", "rotary", 32)]:
        make_run(tmp_path, id, config={"architecture": {"position": {"name": position}, "width": width}})
    found = {row["id"]: row["varied"] for row in overview(tmp_path)}
    assert found == {"aa": "position=alibi", "bb": "position=rotary", "cc": "position=rotary"}


def test_columns_of_one_name_are_told_apart(tmp_path):
    assert query(tmp_path, "SELECT 1 AS a, 2 AS a, 3 AS a") == [{"a": 1, "a_1": 2, "a_2": 3}]


DAMAGE = {
    "cut short": ("manifest.json", b'{"id": "bad", "state": "fin'),
    "no mapping": ("manifest.json", b"[1, 2]"),
    "no text": ("manifest.json", b"\xff\xfe\x00\x80"),
    "config cut short": ("config.json", b'{"seed":'),
    "nested beyond reason": ("manifest.json", b"[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_named_and_passed_over(tmp_path, caplog, damage):
    make_run(tmp_path, "good")
    name, content = DAMAGE[damage]
    (make_run(tmp_path, "bad").path / name).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert [row["id"] for row in run_rows(tmp_path)] == ["good"]
    (message,) = caplog.messages
    assert str(tmp_path / "bad") in message
    assert name in message


def test_damaged_scores_cost_only_that_runs_scores(tmp_path, caplog):
    make_run(tmp_path, "good").add_scores([a_score()])
    (make_run(tmp_path, "bad").path / "scores.json").write_text('[{"task": ')
    assert [row["run"] for row in score_rows(tmp_path)] == ["good"]
    assert "bad" in caplog.text


def test_values_of_the_wrong_type_are_unknown(tmp_path):
    make_run(tmp_path, "aa", result={"held_out_loss": "low", "seconds": [1]}, budget={"tokens": 1e300, "steps": True})
    (row,) = query(tmp_path, "SELECT held_out_loss, seconds, tokens, steps FROM runs")
    assert set(row.values()) == {None}


def test_what_is_no_run_is_no_row(tmp_path, caplog):
    make_run(tmp_path, "aa")
    make_run(tmp_path, ".aside")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes.txt").write_text("…")
    assert [row["id"] for row in run_rows(tmp_path)] == ["aa"]
    assert caplog.text == ""


def test_a_missing_folder_is_the_users_to_put_right(tmp_path):
    with pytest.raises(UserError, match=r"no folder of runs at .*nowhere"):
        list(run_rows(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELEC id FROM runs", "syntax error"),
        ("SELECT loss_held_out FROM runs", "held_out_loss"),
        ("SELECT * FROM run", "runs"),
        ("", "cannot be answered"),
    ],
)
def test_a_query_that_fails_is_told_in_one_paragraph_with_duckdbs_words(tmp_path, sql, told):
    make_run(tmp_path, "aa")
    with pytest.raises(UserError) as error:
        query(tmp_path, sql)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('{folder}/*')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "ATTACH '{folder}/new.db'",
        "EXPORT DATABASE '{folder}/export'",
        "INSTALL httpfs",
        "LOAD '{folder}/extension.duckdb_extension'",
        "SET enable_external_access = true",
        "SET python_enable_replacements = true",
        "SELECT * FROM wanted",  # a variable of ours
        "SELECT 1; COPY (SELECT 1) TO '{folder}/out.csv'",
    ],
)
def test_a_query_reaches_no_file_no_extension_and_no_variable(tmp_path, sql):
    runs, folder = tmp_path / "runs", tmp_path / "elsewhere"
    runs.mkdir()
    folder.mkdir()
    (folder / "secret.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError):
        query(runs, sql.format(folder=folder, secret=folder / "secret.csv"))
    assert [path.name for path in folder.iterdir()] == ["secret.csv"]


def test_reading_runs_leaves_them_as_they_are(tmp_path):
    make_run(tmp_path, "aa").add_scores([a_score()])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    query(tmp_path, "DELETE FROM runs; DROP TABLE scores")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert json.loads((tmp_path / "aa" / "manifest.json").read_text())["id"] == "aa"
