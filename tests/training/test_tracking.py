"""A tracker is told all that metrics.jsonl is told, and its troubles are not the run's."""

import contextlib
import json
import signal
from dataclasses import dataclass

import pytest
from small_runs import config, job, run_dir, trained

from harness.interfaces import tracker
from harness.interfaces.tracker import TrackerConfig
from harness.training.interrupt import Interrupted
from harness.training.tracking import tracked


class Told:
    """A tracker that remembers, and raises at the call named `fails`."""

    def __init__(self, fails=""):
        self.fails, self.rows, self.ends, self.calls = fails, [], [], []

    def log(self, row):
        self._called("log")
        self.rows.append(row)

    def close(self, result):
        self._called("close")
        self.ends.append(result)

    def _called(self, name):
        self.calls.append(name)
        if name == self.fails:
            raise OSError("no route to host")


@pytest.fixture
def told(text, tmp_path, monkeypatch):
    """Trains a small run with a tracker; gives the tracker and the run's directory."""

    def train(fails="", steps=20, **changes):
        remembers = Told(fails)

        @dataclass(kw_only=True)
        class Config(TrackerConfig):
            def build(self, run, values):
                assert values["seed"] == 0
                assert run.id == "run"
                remembers._called("build")
                return remembers

        run_config = config(text, **changes)
        run_config.tracker = Config(name="told")
        run = run_dir(tmp_path / "run", run_config)
        with contextlib.suppress(Interrupted):
            trained(job(run_config, steps), run)
        return remembers, run

    return train


def lines(run):
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def test_it_is_told_every_row_and_the_result(told):
    tracker, run = told(watch={"validate_every": 10, "norms_every": 10})
    assert {row.get("event") for row in tracker.rows} == {None, "validation", "norms"}
    assert tracker.rows == lines(run)
    assert tracker.ends == [run.manifest()["result"]]


def test_a_run_that_is_stopped_has_no_result(told, monkeypatch):
    from harness.training.recorder import Recorder

    def stop(self, *_):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Recorder, "on_train_start", stop)
    tracker, run = told()
    assert run.state() == "interrupted"
    assert tracker.ends == [None]


@pytest.mark.parametrize("fails", ["build", "log", "close"])
def test_its_failure_is_said_once_and_it_is_left(told, caplog, fails):
    tracker, run = told(fails)
    assert run.state() == "finished"
    said = [record.getMessage() for record in caplog.records if "tracker" in record.getMessage()]
    assert said == [
        "tracker=told is left: no route to host. metrics.jsonl has everything; `harness sync` sends it later."
    ]
    assert tracker.calls.count(fails) == 1
    assert len(lines(run)) == 4


def test_without_a_tracker_the_directory_is_as_it_was(text, tmp_path):
    run = run_dir(tmp_path / "run", config(text))
    assert tracked(config(text), run) is run


def test_the_examples_hold():
    import doctest

    assert doctest.testmod(tracker) == (0, 3)
