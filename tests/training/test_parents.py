"""Runs that start from others: a continued run is the run that never stopped; an init takes weights only."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir
from small_runs import trained as carried_out

from harness.errors import UserError
from harness.rundir import RunDir
from harness.training.job import Parent
from harness.training.parents import setting
from harness.training.train import load_model

TRUNK, DECAY = 20, 10
MUON = {"name": "muon", "lr": 0.01, "layer_decay": 0.9}


def wsd(decay_steps: int) -> dict[str, Any]:
    return {"name": "warmup_stable_decay", "warmup_steps": 4, "decay_steps": decay_steps}


def trained(folder: Path, run_config: Any, steps: int, **parents: Parent) -> RunDir:
    run = run_dir(folder, run_config)
    carried_out(replace(job(run_config, steps), parents=parents), run)
    return run


def at(run: RunDir, step: int) -> Parent:
    return Parent(run.path, step, f"{run.id}@{step}")


def last_bits(run: RunDir) -> dict[str, torch.Tensor]:
    """Weights and optimizer state at the end."""
    last = run.last_whole_checkpoint()
    assert last is not None
    return {
        f"{name}/{key}": tensor
        for name in ("model.safetensors", "optimizer.safetensors")
        for key, tensor in load_file(last[1] / name).items()
    }


def assert_same_bits(one: RunDir, other: RunDir) -> None:
    here, there = last_bits(one), last_bits(other)
    assert here.keys() == there.keys()
    assert all(torch.equal(here[key], there[key]) for key in here)


@pytest.fixture(scope="module")
def trunk(text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        run_config = config(
            text, optimizer=MUON, schedule=wsd(0), trainer={"checkpoints": 4, "keep": 4, "log_every": 2},
            architecture={"residual_dropout": 0.1},
        )  # fmt: skip
        return trained(tmp_path_factory.mktemp("trunk") / "trunk", run_config, TRUNK)


def branch(text: Path, **changes: Any) -> Any:
    common = {"optimizer": MUON, "schedule": wsd(DECAY), "architecture": {"residual_dropout": 0.1}}
    return config(text, trainer={"log_every": 2}, **{**common, **changes})


def test_a_run_goes_on_where_its_parent_lost_patience(text: Path, tmp_path: Path):
    """Nothing is learnt, so nothing gets better: after 5 steps, and twice 5 more, each of them ends."""
    of = config(text, optimizer={"lr": 0.0}, watch={"validate_every": 5, "patience": 2})
    first = trained(tmp_path / "first", of, 60)
    assert [row["step"] for row in first.events("validation")] == [5, 10, 15]
    second = trained(tmp_path / "second", of, 60, **{"continue": at(first, 15)})
    assert [row["step"] for row in second.events("validation")] == [20, 25, 30]
    assert second.manifest()["result"]["steps"] == 30


@pytest.mark.parametrize("step", [10, TRUNK])
def test_a_branch_ends_with_the_bits_of_a_run_that_never_stopped(trunk: RunDir, text: Path, tmp_path: Path, step: int):
    """From the middle of the trunk, where its checkpoint holds the losses of a row, and from its end."""
    of = branch(text)
    child = trained(tmp_path / "branch", of, step + DECAY, **{"continue": at(trunk, step)})
    alone = trained(tmp_path / "alone", of, step + DECAY)
    assert_same_bits(child, alone)
    keys = ("step", "tokens", "loss", "lr", "grad_norm")
    rows = [[row[key] for key in keys] for row in child.metrics()]
    assert rows == [[row[key] for key in keys] for row in alone.metrics() if row["step"] > step]
    assert rows[0][0] == step + 2
    assert child.manifest()["result"]["tokens"] == (step + DECAY) * 64


def test_a_branch_that_is_interrupted_goes_on_from_its_own_checkpoint(trunk: RunDir, text: Path, tmp_path: Path):
    of, parents = branch(text), {"continue": at(trunk, 10)}
    alone = trained(tmp_path / "alone", of, 20, **parents)
    run = run_dir(tmp_path / "branch", of)
    (run.path / "checkpoints").mkdir()
    alone.checkpoint(18).rename(run.checkpoint(18))
    carried_out(replace(job(of, 20), parents=parents), run)
    assert [row["step"] for row in run.metrics()] == [20]
    assert_same_bits(run, alone)


def test_a_parent_that_is_gone_is_named(text: Path, tmp_path: Path):
    with pytest.raises(
        UserError, match=r"gone/checkpoints/step-00000005, which this run continues, is gone or damaged"
    ):
        trained(tmp_path / "branch", branch(text), 20, **{"continue": Parent(tmp_path / "gone", 5, "gone@5")})


# ------------------------------------------------------------------------------------------- init


def start(text: Path, tmp_path: Path, parent: Parent, **changes: Any) -> dict[str, torch.Tensor]:
    """The weights after one step at no rate: those at the start."""
    run_config = config(text, optimizer={"name": "adamw", "lr": 0.0}, **changes)
    run = trained(tmp_path / "child", run_config, 1, init=parent)
    return load_model(run)[0].state_dict()


def test_an_init_takes_the_weights_and_nothing_else(trunk: RunDir, text: Path, tmp_path: Path):
    before = load_model(trunk, 10)[0].state_dict()
    after = start(text, tmp_path, at(trunk, 10))
    assert all(torch.equal(before[name], after[name]) for name in before)
    (row,) = RunDir(tmp_path / "child").metrics()
    assert row["step"] == 1


def test_a_method_is_told_how_examples_are_written(text: Path):
    assert setting(job(config(text, data={"template": "chat"}), 1)).template == "chat"


def test_an_init_says_where_its_architecture_computes_something_else(
    trunk: RunDir, text: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    start(
        text,
        tmp_path,
        at(trunk, 10),
        architecture={"residual_dropout": 0.0, "position": {"name": "rotary", "base": 500.0}},
    )
    assert "architecture.position.base=500.0, and 10000.0 in trunk@10" in caplog.text


def test_under_another_tokenizer_tokens_are_transferred(trunk: RunDir, text: Path, tmp_path: Path):
    tokenizer = {"name": "bpe", "size": 280}
    before = load_model(trunk, 20)[0].state_dict()
    after = start(text, tmp_path, at(trunk, 20), tokenizer=tokenizer)
    new = load_model(RunDir(tmp_path / "child"))[2]
    old_VC, new_VC = before["body.tokens.weight"], after["body.tokens.weight"]
    assert new_VC.shape == (280, 16)
    for token in range(new.size - 1):
        piece = new.decode([token])
        if piece and "\ufffd" not in piece:
            torch.testing.assert_close(new_VC[token], old_VC[list(piece.encode())].mean(0))
    assert torch.equal(new_VC[new.end], old_VC[256])
    others = before.keys() - {"body.tokens.weight", "heads.language_model.weight"}
    assert all(torch.equal(before[name], after[name]) for name in others)


def test_more_room_for_the_same_tokens_keeps_their_rows(trunk: RunDir, text: Path, tmp_path: Path):
    before = load_model(trunk, 20)[0].state_dict()["body.tokens.weight"]
    run_config = config(text, optimizer={"name": "adamw", "lr": 0.0}, architecture={"vocabulary": 300})
    run = run_dir(tmp_path / "child", run_config)
    carried_out(replace(job(run_config, 1), vocabulary=300, parents={"init": at(trunk, 20)}), run)
    after = load_model(run)[0].state_dict()["body.tokens.weight"]
    assert torch.equal(after[:257], before)
    assert after[257:].std() == pytest.approx(0.02, rel=0.2)
