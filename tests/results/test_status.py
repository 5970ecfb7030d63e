"""How far each run is."""

from __future__ import annotations

import json

import pytest

from harness import lease
from harness.files import write_json
from harness.results.status import status
from harness.rundir import RunDir


def a_run(runs, id: str, state: str, **more) -> RunDir:
    run = RunDir(runs / id)
    write_json(
        run.path / "manifest.json", {"id": id, "state": state, "budget": {"steps": 100, "tokens": 102_400}, **more}
    )
    return run


def directories(runs) -> list[RunDir]:
    return [RunDir(path) for path in runs.iterdir()]


def test_a_running_run_shows_its_last_line_and_the_time_left(tmp_path):
    run = a_run(tmp_path, "aa", "running")
    run.append_metrics([{"step": s, "loss": 5 - s / 100, "tokens_per_second": 1024.0} for s in (10, 20)])
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 30, "lo')  # a crash cut it short
    with run.lease():
        (row,) = status([run])
    assert (row["state"], row["step"], row["steps"], row["loss"]) == ("running", 20, 100, 4.8)
    assert row["left"] == pytest.approx(80), "80 steps of 1,024 tokens at 1,024 tokens a second"
    assert 0 <= row["ago"] < 60


def test_a_run_whose_process_is_gone_is_killed_and_has_no_time_left(tmp_path):
    run = a_run(tmp_path, "aa", "running")
    run.append_metrics([{"step": 20, "loss": 4.8, "tokens_per_second": 1024.0}])
    (row,) = status([run])
    assert (row["state"], row["step"], row["left"]) == ("killed", 20, None)


def test_a_finished_run_shows_its_result(tmp_path):
    a_run(tmp_path, "aa", "finished", result={"held_out_loss": 2.5, "tokens_per_second": 9.0})
    (row,) = status(directories(tmp_path))
    assert (row["step"], row["loss"], row["left"]) == (100, 2.5, None)


def test_a_loss_stands_with_what_it_is_told_in(tmp_path):
    a_run(tmp_path, "aa", "finished", result={"held_out_loss": 0.69}, model={"loss_in": "nats per pair"})
    (row,) = status(directories(tmp_path))
    assert (row["loss"], row["loss_in"]) == (0.69, "nats per pair")


def test_what_runs_or_failed_comes_first_and_only_what_was_asked_for(tmp_path):
    for id, state in (("aa", "finished"), ("bb", "failed"), ("cc", "running"), ("dd", "finished")):
        a_run(tmp_path, id, state)
    assert [row["id"] for row in status(directories(tmp_path))] == ["cc", "bb", "aa", "dd"]
    assert [row["id"] for row in status([RunDir(tmp_path / "bb"), RunDir(tmp_path / "aa")])] == ["bb", "aa"]


def test_a_run_that_cannot_be_read_is_passed_over(tmp_path, caplog):
    a_run(tmp_path, "aa", "running")
    (a_run(tmp_path, "bb", "running").path / "manifest.json").write_text("{")
    assert [row["id"] for row in status(directories(tmp_path))] == ["aa"]
    assert "bb" in caplog.text


def test_a_run_on_another_machine_is_known_by_its_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.05)
    run = a_run(tmp_path, "aa", "running")
    with run.lease() as held:
        file = held.held.folder / lease.HOLDER
        file.write_text(json.dumps({**json.loads(file.read_text()), "boot": "another"}))
        assert [row["state"] for row in status([run])] == ["running"]
        held.held._ended.set()
        held.held._thread.join()
        assert [row["state"] for row in status([run])] == ["killed"]
