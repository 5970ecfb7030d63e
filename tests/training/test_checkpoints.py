"""Checkpoints are folders of tensors and JSON that come back as they were."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from harness.files import new_folder, write_json
from harness.rundir import RunDir
from harness.training.checkpoints import (
    due,
    forget_after,
    forget_oldest,
    load_optimizer,
    optimizer_state,
    read_weights,
    write_weights,
)
from harness.training.parts import write_parts
from harness.training.world import World


def test_tied_weights_are_written_once_and_read_under_all_their_names(tmp_path: Path):
    table = torch.randn(5, 3)
    weights = {"embedding": table, "norm": torch.randn(3), "head": table, "again": table}
    write_weights(tmp_path, weights)
    assert sorted(load_file(tmp_path / "model.safetensors")) == ["embedding", "norm"]
    read = read_weights(tmp_path)
    assert set(read) == set(weights)
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_equal_weights_are_equal_files(tmp_path: Path):
    table = torch.randn(5, 3)
    found = set()
    for _ in range(20):
        write_weights(tmp_path, {"embedding": table, "head": table})
        found.add((tmp_path / "model.safetensors").read_bytes())
    assert len(found) == 1


def test_views_of_one_storage_are_not_taken_for_tied(tmp_path: Path):
    both = torch.randn(2, 3)
    write_weights(tmp_path, {"first": both[0], "transposed": both.T, "second": both[1]})
    read = read_weights(tmp_path)
    assert torch.equal(read["second"], both[1])
    assert torch.equal(read["transposed"], both.T)


def test_optimizer_state_comes_back_by_name_however_the_parameters_are_grouped(tmp_path: Path):
    parameters = {"a.weight": nn.Parameter(torch.randn(3, 2)), "b": nn.Parameter(torch.randn(4))}
    for parameter in parameters.values():
        parameter.grad = torch.randn_like(parameter)
    names = {id(parameter): name for name, parameter in parameters.items()}
    optimizer = torch.optim.AdamW([{"params": list(parameters.values()), "peak_lr": 0.5}], lr=0.1)
    optimizer.step()
    tensors, options = optimizer_state(optimizer, names)
    write_parts(tmp_path, "optimizer", tensors, World())
    write_json(tmp_path / "optimizer.json", options)

    other = torch.optim.AdamW([{"params": [parameter]} for parameter in reversed(parameters.values())], lr=1.0)
    load_optimizer(tmp_path, other, names)
    assert [(group["lr"], group["peak_lr"]) for group in other.param_groups] == [(0.1, 0.5)] * 2
    for parameter in parameters.values():
        assert other.state[parameter].keys() == optimizer.state[parameter].keys()
        for key, value in optimizer.state[parameter].items():
            assert torch.equal(other.state[parameter][key], value)


@pytest.mark.parametrize(("steps", "checkpoints"), [(100, 10), (7, 3), (1, 10), (5, 10), (1000, 1)])
def test_checkpoints_are_evenly_spaced_and_the_last_stands_at_the_end(steps: int, checkpoints: int):
    places = [step for step in range(1, steps + 1) if due(step, steps, checkpoints)]
    assert places[-1] == steps
    assert len(places) == min(steps, checkpoints)
    gaps = [b - a for a, b in zip([0, *places], places, strict=False)]
    assert max(gaps) - min(gaps) <= 1


def checkpoint_at(run: RunDir, *steps: int) -> None:
    for step in steps:
        with new_folder(run.checkpoint(step)) as folder:
            (folder / "x").write_text(str(step))


def test_only_the_newest_are_kept(tmp_path: Path):
    run = RunDir(tmp_path)
    checkpoint_at(run, 1, 2, 10)
    forget_oldest(run, steps=10, checkpoints=10, keep=2)
    assert [step for step, _ in run.checkpoints()] == [2, 10]


def test_what_an_interruption_left_takes_no_place_of_those_that_are_due(tmp_path: Path):
    run = RunDir(tmp_path)
    checkpoint_at(run, 4, 6, 7)
    forget_oldest(run, steps=10, checkpoints=5, keep=2)
    assert [step for step, _ in run.checkpoints()] == [4, 6, 7], "the run goes on from 7"
    checkpoint_at(run, 8)
    forget_oldest(run, steps=10, checkpoints=5, keep=2)
    assert [step for step, _ in run.checkpoints()] == [6, 8]


def test_checkpoints_of_steps_that_will_be_done_again_are_removed(tmp_path: Path):
    run = RunDir(tmp_path)
    checkpoint_at(run, 1, 2, 3)
    forget_after(run, 2)
    assert sorted(f.name for f in (tmp_path / "checkpoints").iterdir()) == ["step-00000001", "step-00000002"]
