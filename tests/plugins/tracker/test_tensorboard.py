"""TensorBoard reads back what a run has written, once, whatever has happened to the run."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness.cli import main
from harness.rundir import RunDir
from harness_plugins.tracker.tensorboard import TensorBoardConfig


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "runs/abc123")
    run.path.mkdir(parents=True)
    return run


def rows(*steps):
    return [{"step": step, "loss": 10.0 / step} for step in steps]


def attempt(run, rows, result=None):
    tracker = TensorBoardConfig(name="tensorboard").build(run, {"seed": 3})
    for row in rows:
        tracker.log(row)
    tracker.close(result)


def read(run):
    found = EventAccumulator(str(run.path / "tensorboard"))
    found.Reload()
    return found


def scalars(run, name):
    return [(event.step, event.value) for event in read(run).Scalars(name)]


def test_numbers_are_scalars_and_texts_are_texts(run):
    found = {"step": 10, "event": "norms", "grad_norms": {"head": 0.5}}
    text = {"step": 10, "event": "sample", "prompt": "It", "text": " was"}
    attempt(run, [*rows(5, 10), found, text], {"held_out_loss": 1.5, "peak_source": "measured"})
    assert scalars(run, "loss") == [(5, 2.0), (10, 1.0)]
    assert scalars(run, "norms/grad_norms/head") == [(10, 0.5)]
    assert scalars(run, "result/held_out_loss") == [(10, 1.5)]
    tensors = {
        tag: read(run).Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in read(run).Tags()["tensors"]
    }
    assert tensors["sample/text/text_summary"] == " was"
    assert json.loads(tensors["config/text_summary"].strip("`")) == {"seed": 3}


def test_what_is_done_again_after_a_stop_is_there_once(run):
    attempt(run, rows(1, 2, 4, 5))
    attempt(run, rows(4, 5, 8))
    assert [step for step, _ in scalars(run, "loss")] == [1, 2, 4, 5, 8]


def test_a_finished_run_leaves_no_file_where_nothing_was_logged(run):
    attempt(run, [])
    assert not (run.path / "tensorboard").exists()


@pytest.mark.slow
def test_a_run_trains_into_it_and_a_later_sync_says_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "experiment=tiny", "budget.tokens=16384", "suite=null", "tracker=tensorboard"]) == 0
    (run,) = (RunDir(path.parent) for path in (tmp_path / "runs").glob("*/manifest.json"))
    losses = [(row["step"], pytest.approx(row["loss"])) for row in run.metrics()]
    assert scalars(run, "loss") == losses
    held_out = run.manifest()["result"]["held_out_loss"]
    assert scalars(run, "result/held_out_loss") == [(losses[-1][0], pytest.approx(held_out))]
    for _ in range(2):
        assert main(["sync", run.id, "tracker=tensorboard"]) == 0
        assert scalars(run, "loss") == losses
    assert f"{run.id}: {len(losses)} rows sent to tensorboard" in capsys.readouterr().err
