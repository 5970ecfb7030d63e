"""Checkpoints are folders of tensors and JSON that come back as they were."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from harness.rundir import RunDir, is_whole, new_folder
from harness.training.checkpoints import (
    FolderCheckpoints,
    due,
    forget_after,
    forget_oldest,
    read_weights,
    write_weights,
)


def test_tied_weights_are_written_once_and_read_under_all_their_names(tmp_path: Path):
    table = torch.randn(5, 3)
    weights = {"embedding": table, "norm": torch.randn(3), "head": table, "again": table}
    write_weights(tmp_path / "w.safetensors", weights)
    assert sorted(load_file(tmp_path / "w.safetensors")) == ["embedding", "norm"]
    read = read_weights(tmp_path / "w.safetensors")
    assert set(read) == set(weights)
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_equal_weights_are_equal_files(tmp_path: Path):
    table = torch.randn(5, 3)
    paths = [tmp_path / f"{number}.safetensors" for number in range(20)]
    for path in paths:
        write_weights(path, {"embedding": table, "head": table})
    assert len({path.read_bytes() for path in paths}) == 1


def test_views_of_one_storage_are_not_taken_for_tied(tmp_path: Path):
    both = torch.randn(2, 3)
    write_weights(tmp_path / "w.safetensors", {"first": both[0], "transposed": both.T, "second": both[1]})
    read = read_weights(tmp_path / "w.safetensors")
    assert torch.equal(read["second"], both[1])
    assert torch.equal(read["transposed"], both.T)


def test_optimizer_state_comes_back_by_name_in_any_order_of_the_parameters(tmp_path: Path):
    parameters = {"a.weight": nn.Parameter(torch.randn(3, 2)), "b": nn.Parameter(torch.randn(4))}
    for parameter in parameters.values():
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.AdamW(parameters.values(), lr=0.1)
    optimizer.step()
    checkpoint = {
        "state_dict": {f"model.{name}": parameter.detach() for name, parameter in parameters.items()},
        "optimizer_states": [optimizer.state_dict()],
        "loops": {"step": 1},
    }
    FolderCheckpoints(["a.weight", "b"]).save_checkpoint(checkpoint, tmp_path / "step-1")
    assert is_whole(tmp_path / "step-1")
    assert {f.suffix for f in (tmp_path / "step-1").iterdir()} == {".safetensors", ".json"}
    read = FolderCheckpoints(["b", "a.weight"]).load_checkpoint(tmp_path / "step-1")
    assert read["loops"] == {"step": 1}
    assert torch.equal(read["state_dict"]["model.b"], parameters["b"])
    (state,) = read["optimizer_states"]
    for index, name in enumerate(["b", "a.weight"]):
        for key, value in optimizer.state[parameters[name]].items():
            assert torch.equal(state["state"][index][key], value)
    assert sorted(state["param_groups"][0]["params"]) == [0, 1]


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
    forget_oldest(run, keep=2)
    assert [step for step, _ in run.checkpoints()] == [2, 10]


def test_what_a_crash_left_is_removed(tmp_path: Path):
    run = RunDir(tmp_path)
    checkpoint_at(run, 1, 2, 3)
    (tmp_path / "checkpoints" / ".step-00000004-abc").mkdir()
    forget_after(run, 2)
    assert sorted(f.name for f in (tmp_path / "checkpoints").iterdir()) == ["step-00000001", "step-00000002"]
