"""Runs that train an adapter: the base stays, checkpoints hold the adapter alone, and what is loaded is both merged."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir
from small_runs import trained as carried_out

from harness.config import plugin_config
from harness.errors import UserError
from harness.files import checksum
from harness.models.huggingface.folder import write_folder
from harness.rundir import RunDir
from harness.schema import DataConfig
from harness.training.job import Parent
from harness.training.train import load_model
from tests import preferences

STEPS = 10
LORA = {"name": "lora", "rank": 2}


def trained(folder: Path, run_config: Any, steps: int = STEPS, **parents: Parent) -> RunDir:
    run = run_dir(folder, run_config)
    carried_out(replace(job(run_config, steps), parents=parents), run)
    return run


def at(run: RunDir, step: int = STEPS) -> Parent:
    return Parent(run.path, step, f"{run.id}@{step}")


def adapted(text: Path, **changes: Any) -> Any:
    return config(text, **{"adapter": LORA, "trainer": {"checkpoints": 2}, **changes})


def saved(run: RunDir, file: str, step: int = STEPS) -> dict[str, torch.Tensor]:
    return load_file(run.checkpoint(step) / f"{file}.safetensors")


def weights(run: RunDir, **how: Any) -> dict[str, torch.Tensor]:
    return dict(load_model(run, **how)[0].state_dict())


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def runs(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three runs: a base, an adapter beside it, and one beside both merged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        folder = tmp_path_factory.mktemp("runs")
        base = trained(folder / "base", config(text))
        before = checksum(base.checkpoint(STEPS) / "model.safetensors")
        first = trained(folder / "first", adapted(text), init=at(base))
        trained(folder / "second", adapted(text, adapter={"name": "lora", "rank": 3}), init=at(first))
        assert checksum(base.checkpoint(STEPS) / "model.safetensors") == before
    return folder


@pytest.fixture
def copied(runs: Path, tmp_path: Path) -> Path:
    """The same in another place, the old one being out of sight."""
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs"


def test_a_checkpoint_holds_the_adapter_and_its_optimizer_state_alone(runs: Path):
    base, run = RunDir(runs / "base"), RunDir(runs / "first")
    names = set(saved(run, "model"))
    assert names
    assert all(".lora_A." in name or ".lora_B." in name for name in names)
    assert {name.rpartition(".")[0] for name in saved(run, "optimizer")} == names
    size = (run.checkpoint(STEPS) / "model.safetensors").stat().st_size
    numbers = sum(tensor.numel() for tensor in saved(run, "model").values())
    assert 4 * numbers < size < 4 * numbers + 8000, "tensors, and their names"
    assert numbers < sum(tensor.numel() for tensor in saved(base, "model").values()) / 2


def test_what_is_loaded_has_the_base_s_names_and_is_the_base_where_nothing_is_adapted(runs: Path):
    base, merged = weights(RunDir(runs / "base")), weights(RunDir(runs / "first"))
    assert merged.keys() == base.keys()
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert changed == {name for name in base if ".attention." in name or ".feedforward." in name}


def test_merged_computes_what_stands_beside(runs: Path):
    run, inputs_BT = RunDir(runs / "first"), torch.arange(24).reshape(2, 12)
    merged, beside, base = load_model(run)[0], load_model(run, merge=False)[0], load_model(RunDir(runs / "base"))[0]
    with torch.no_grad():
        logits = [model.logits(inputs_BT) for model in (merged, beside, base)]
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-5)
    assert (logits[0] - logits[2]).abs().max() > 0.01


def test_an_adapter_beside_an_adapter_s_run_stands_beside_it_merged(runs: Path):
    """At no rate nothing is learnt, and B stays zero."""
    text = Path(RunDir(runs / "base").config()["corpus"]["path"])
    first, inputs_BT = RunDir(runs / "first"), torch.arange(12)[None]
    idle = trained(runs / "idle", adapted(text, optimizer={"lr": 0.0}), 1, init=at(first))
    with torch.no_grad():
        ours, theirs = (
            load_model(run, merge=merge)[0].logits(inputs_BT) for run, merge in ((idle, False), (first, True))
        )
    assert torch.equal(ours, theirs)
    shutil.rmtree(idle.path)


def test_a_plain_run_starts_from_an_adapter_s_run_merged(runs: Path, text: Path, tmp_path: Path):
    first = RunDir(runs / "first")
    child = trained(tmp_path / "child", config(text, optimizer={"lr": 0.0}), 1, init=at(first))
    assert_same(weights(child), weights(first))


def test_runs_are_found_where_they_were_moved_to_together(runs: Path, copied: Path):
    (runs / "base").rename(runs / "hidden")
    try:
        moved = weights(RunDir(copied / "second"))
    finally:
        (runs / "hidden").rename(runs / "base")
    assert_same(moved, weights(RunDir(runs / "second")))


def test_a_base_that_is_gone_or_damaged_is_named(runs: Path, copied: Path):
    file = RunDir(copied / "base").checkpoint(STEPS) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"Run first is an adapter beside base@10, which cannot be read\. Bring .*base"):
        load_model(RunDir(copied / "first"))
    with pytest.raises(UserError, match="Run first is an adapter beside base@10"):
        load_model(RunDir(copied / "second"))


def test_a_base_that_was_trained_anew_is_not_taken_for_the_old_one(copied: Path, text: Path):
    shutil.rmtree(copied / "base")
    base = trained(copied / "base", config(text, seed=1, seeds={"init": 1}))
    with pytest.raises(UserError, match=r"Run first cannot be put together.*base@10.*has other weights"):
        load_model(RunDir(copied / "first"))
    run = RunDir(copied / "first")
    shutil.rmtree(run.checkpoint(STEPS))
    run.update_manifest(state="interrupted")
    with pytest.raises(UserError, match=r"step-00000005 cannot be gone on from.*has other weights"):
        carried_out(replace(job(adapted(text), STEPS), parents={"init": at(base)}), run)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-true"])
def test_a_run_with_dropout_that_is_interrupted_ends_with_the_same_bits(
    runs: Path, text: Path, tmp_path: Path, precision: str
):
    of = adapted(text, adapter={**LORA, "dropout": 0.3}, trainer={"checkpoints": 2, "precision": precision})
    parents = {"init": at(RunDir(runs / "base"))}
    alone = trained(tmp_path / "alone", of, **parents)
    again = run_dir(tmp_path / "again", of)
    shutil.copytree(alone.checkpoint(STEPS // 2), again.checkpoint(STEPS // 2))
    carried_out(replace(job(of, STEPS), parents=parents), again)
    for file in ("model", "optimizer"):
        assert_same(saved(again, file), saved(alone, file))
    without = trained(tmp_path / "without", adapted(text, trainer={"precision": precision}), **parents)
    assert any(not torch.equal(ours, saved(alone, "model")[name]) for name, ours in saved(without, "model").items())


def test_its_first_numbers_follow_the_seed_of_initialisation(runs: Path, text: Path, tmp_path: Path):
    parents = {"init": at(RunDir(runs / "base"))}

    def first(name: str, **changes: Any) -> dict[str, torch.Tensor]:
        return saved(
            trained(tmp_path / name, adapted(text, optimizer={"lr": 0.0}, **changes), 1, **parents), "model", 1
        )

    here, there = first("here"), first("there", seeds={"init": 1})
    assert_same(here, first("again", seeds={"noise": 5}))
    assert all(torch.equal(here[name], there[name]) == (".lora_B." in name) for name in here)
    assert not any(tensor.any() for name, tensor in here.items() if ".lora_B." in name)


def preferring(text: Path, method: str, **changes: Any) -> Any:
    """An alignment on pairs of answers, with an adapter."""
    data = DataConfig(sequence_length=64, batch_size=4, held_out=0.2)
    chosen = plugin_config("method", method, "method")
    return replace(adapted(text, **changes), corpus=preferences.Tastes(name="tastes"), data=data, method=chosen)


def test_a_new_head_is_trained_and_kept_with_the_adapter(
    runs: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    preferences.register(monkeypatch)
    base = RunDir(runs / "base")
    run = trained(tmp_path / "run", preferring(text, "reward_model", architecture={"head": "reward"}), init=at(base))
    ours, loaded = saved(run, "model"), weights(run)
    assert {name for name in ours if ".lora_" not in name} == {"heads.reward.weight"}
    assert {name.rpartition(".")[0] for name in saved(run, "optimizer")} == set(ours)
    assert torch.equal(loaded["heads.reward.weight"], ours["heads.reward.weight"])
    assert torch.equal(loaded["body.tokens.weight"], weights(base)["body.tokens.weight"])


def test_an_alignment_leans_on_what_its_adapter_stands_beside(
    runs: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """On an adapter's run, merged: at the first step policy and reference are one."""
    preferences.register(monkeypatch)
    parent = at(RunDir(runs / "first"))
    of = preferring(text, "dpo", trainer={"log_every": 1})
    run = trained(tmp_path / "run", of, init=parent, reference=parent)
    losses = [row["loss"] for row in run.metrics()]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert losses[-1] < losses[0]
    assert all(".lora_" in name for name in saved(run, "model"))


def test_beside_a_folder_of_transformers(runs: Path, text: Path, tmp_path: Path):
    model, base, tokenizer = load_model(RunDir(runs / "base"))
    folder = tmp_path / "folder"
    write_folder(folder, model, base, tokenizer)
    parent = Parent(folder, None, "hash")
    run = trained(tmp_path / "run", adapted(text), init=parent)
    assert_same(weights(run), weights(RunDir(runs / "first")))
    export = tmp_path / "export"
    write_folder(export, *load_model(run))
    assert load_file(export / "model.safetensors").keys() == load_file(folder / "model.safetensors").keys()
    write_folder(tmp_path / "other", *load_model(RunDir(runs / "second")))
    shutil.rmtree(folder)
    (tmp_path / "other").rename(folder)
    with pytest.raises(UserError, match="Run run cannot be put together"):
        load_model(run)
