"""What a run has written goes to a tracker later as it would have gone at once."""

from dataclasses import dataclass

import pytest

from harness.cli import main
from harness.errors import RunFailed
from harness.interfaces.tracker import TrackerConfig
from harness.rundir import RunDir
from harness.verbs.sync import replay


class Told:
    """A tracker that writes down what it is told."""

    def __init__(self, run, config):
        self.calls = [("build", run.id, config)]

    def log(self, row):
        if row.get("event") == "broken":
            raise OSError("no route to host")
        self.calls.append(("log", row))

    def close(self, result):
        self.calls.append(("close", result))


@dataclass(kw_only=True)
class ToldConfig(TrackerConfig):
    def build(self, run, config):
        self.tracker = Told(run, config)
        return self.tracker


def written(folder, rows, **manifest):
    run = RunDir(folder / "runs/abc123")
    run.path.mkdir(parents=True)
    run.write_json("config.json", {"seed": 7})
    run.update_manifest(id="abc123", **manifest)
    run.append_metrics(rows)
    return run


ROWS = [{"step": 5, "loss": 3.0}, {"step": 10, "event": "norms"}, {"step": 10, "loss": 2.0}, {"step": 15, "loss": 1.0}]


def test_config_rows_and_result_in_the_order_of_steps(tmp_path):
    run = written(tmp_path, ROWS, state="finished", result={"held_out_loss": 1.5})
    told = ToldConfig(name="told")
    assert replay(run, told) == 4
    assert told.tracker.calls == [
        ("build", "abc123", {"seed": 7}),
        ("log", ROWS[0]),
        ("log", ROWS[2]),
        ("log", ROWS[1]),
        ("log", ROWS[3]),
        ("close", {"held_out_loss": 1.5}),
    ]


def test_a_run_that_has_not_ended_has_no_result(tmp_path):
    told = ToldConfig(name="told")
    replay(written(tmp_path, ROWS, state="interrupted"), told)
    assert told.tracker.calls[-1] == ("close", None)


def test_what_the_tracker_does_not_take_is_a_failure_here(tmp_path):
    run = written(tmp_path, [*ROWS, {"step": 20, "event": "broken"}], state="finished", result={})
    with pytest.raises(RunFailed, match="tracker=told: no route to host"):
        replay(run, ToldConfig(name="told"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs runs, by id or folder"),
        (["abc123"], "tracker has no value"),
        (["abc123", "tracker=wand"], "Did you mean wandb?"),
        (["zzz", "tracker=tensorboard"], "There is no run zzz"),
        (["abc123", "tracker=tensorboard", "tracker.mode=x"], "tracker.mode is an option of tracker=wandb"),
    ],
)
def test_what_cannot_be_understood_is_said(words, said, tmp_path, monkeypatch, capsys):
    written(tmp_path, ROWS)
    monkeypatch.chdir(tmp_path)
    assert main(["sync", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
