"""Runs that are quantized, and runs that are trained for it: what they leave on the disk, and what is loaded of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir
from small_runs import trained as carried_out

from harness.errors import UserError
from harness.files import is_whole, seal
from harness.rundir import RunDir
from harness.training.checkpoints import read_weights
from harness.training.job import Parent
from harness.training.quantized import QUANTIZED, RECIPE, converted, model_bytes
from harness.training.train import load_model

STEPS = 10
UNTIED = {"head": {"name": "language_model", "tied": False}}
INPUTS_BT = torch.arange(32).view(2, 16)
WAYS = ("none", "dynamic")


def carry_out(folder: Path, run_config: Any, steps: int, **parents: Parent) -> RunDir:
    run = run_dir(folder, run_config)
    carried_out(replace(job(run_config, steps), parents=parents), run)
    return run


def at(run: RunDir, step: int) -> Parent:
    return Parent(run.path, step, f"{run.id}@{step}")


@torch.no_grad()
def logits(run: RunDir, step: int | None = None) -> torch.Tensor:
    return load_model(run, step)[0].logits(INPUTS_BT)


@pytest.fixture(scope="module")
def runs(text: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDir]:
    """A trained run, the same in int8 in both ways, and one that was trained for it in both ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        folder = tmp_path_factory.mktemp("runs")
        trained = config(text, architecture=UNTIED, trainer={"checkpoints": 2})
        found = {"parent": carry_out(folder / "parent", trained, STEPS)}
        for way in WAYS:
            quantizer = {"activations": way}
            int8 = config(text, architecture=UNTIED, method=None, quantizer={"name": "int8", **quantizer})
            found[f"int8 {way}"] = carry_out(folder / f"int8-{way}", int8, 0, init=at(found["parent"], STEPS))
            qat = config(
                text, architecture=UNTIED, trainer={"checkpoints": 2}, quantizer={"name": "qat_int8", **quantizer}
            )
            found[f"qat {way}"] = carry_out(folder / f"qat-{way}", qat, STEPS)
        return found


# ------------------------------------------------------------------------------------------- int8


@pytest.mark.parametrize("way", WAYS)
def test_a_quantized_run_is_one_whole_checkpoint_of_plain_tensors(runs: dict[str, RunDir], way: str):
    run = runs[f"int8 {way}"]
    ((step, folder),) = run.checkpoints()
    assert (step, run.result_step(), run.state()) == (0, 0, "finished")
    assert is_whole(folder)
    assert {file.name for file in folder.iterdir()} == {f"{QUANTIZED}.safetensors", RECIPE, "checksums.json"}
    recipe, tensors = json.loads((folder / RECIPE).read_text()), load_file(folder / f"{QUANTIZED}.safetensors")
    assert {tensors[f"{name}.int8"].dtype for name in recipe["quantized"]} == {torch.int8}
    assert {tensors[f"{name}.scale"].shape[1] for name in recipe["quantized"]} == {1}
    assert is_whole(run.path / "tokenizer")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_loaded_is_what_was_converted(runs: dict[str, RunDir], way: str):
    """From the same weights, in this process, never written."""
    run = runs[f"int8 {way}"]
    model, run_config, _ = load_model(run)
    fresh, _ = converted(run_config, model.body.tokens.num_embeddings, read_weights(runs["parent"].checkpoint(STEPS)))
    with torch.no_grad():
        assert torch.equal(logits(run), fresh.logits(INPUTS_BT))
    off = (logits(run) - logits(runs["parent"])).square().mean().sqrt() / logits(runs["parent"]).std()
    assert 0 < off < 0.03


def test_the_manifest_says_what_was_covered(runs: dict[str, RunDir]):
    told, model = runs["int8 none"].manifest()["quantization"], load_model(runs["parent"])[0]
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert {**told["quantized"], **told["left"]} == sizes
    assert told["quantized"].keys() == told["error"].keys()
    assert told["share"] == sum(told["quantized"].values()) / sum(sizes.values())
    assert 0 < min(told["error"].values()) <= told["error_of_all"] <= max(told["error"].values()) < 0.01
    folder = runs["int8 none"].checkpoint(0)
    assert told["bytes"] == (folder / f"{QUANTIZED}.safetensors").stat().st_size
    assert told["bytes_in_float32"] == 4 * sum(sizes.values())
    assert runs["int8 none"].manifest()["result"]["model_bytes"] == model_bytes(folder) < 1.1 * told["bytes"]


def test_a_quantized_run_trains_nothing(runs: dict[str, RunDir]):
    manifest = runs["int8 none"].manifest()
    assert (manifest["result"]["steps"], manifest["result"]["held_out_loss"]) == (0, None)
    assert runs["int8 none"].metrics() == []
    assert manifest["fingerprint"]["torchao"]


def test_carried_out_again_nothing_is_written(runs: dict[str, RunDir], text: Path):
    run = runs["int8 none"]
    before = {file: file.stat().st_mtime_ns for file in run.checkpoint(0).iterdir()}
    run_config = load_model(run)[1]
    carried_out(replace(job(run_config, 0), parents={"init": at(runs["parent"], STEPS)}), run)
    assert {file: file.stat().st_mtime_ns for file in run.checkpoint(0).iterdir()} == before


# ----------------------------------------------------------------------------------- trained for it


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", [STEPS // 2, STEPS])
def test_every_checkpoint_holds_the_floats_and_what_they_end_as(runs: dict[str, RunDir], way: str, step: int):
    run = runs[f"qat {way}"]
    model, run_config, _ = load_model(run, step)
    fresh, _ = converted(run_config, model.body.tokens.num_embeddings, read_weights(run.checkpoint(step)))
    with torch.no_grad():
        assert torch.equal(logits(run, step), fresh.logits(INPUTS_BT))


def test_it_learns_other_weights_than_without(runs: dict[str, RunDir]):
    """From the same seed: rounding was there from the first step on."""
    ours, theirs = (read_weights(runs[name].checkpoint(STEPS)) for name in ("qat none", "parent"))
    assert ours.keys() == theirs.keys()
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
    first, other = runs["qat none"].metrics()[0], runs["parent"].metrics()[0]
    assert first["loss"] != other["loss"]


def test_its_loss_is_that_of_the_converted_model(runs: dict[str, RunDir], text: Path):
    """The slow way: each held-out sequence by itself."""
    run = runs["qat dynamic"]
    model, run_config, _ = load_model(run)
    rows = torch.from_numpy(job(run_config, STEPS).dataset.validation(10_000).tokens_BS)
    nats = []
    with torch.no_grad():
        for tokens_S in rows:
            logp_TV = model.logits(tokens_S[None, :-1])[0].log_softmax(-1)
            nats += [-float(logp_TV[t, token]) for t, token in enumerate(tokens_S[1:].tolist())]
    assert run.manifest()["result"]["held_out_loss"] == pytest.approx(sum(nats) / len(nats), rel=1e-4)


# ------------------------------------------------------------------------------------ as a parent


@pytest.mark.parametrize("name", ["int8 none", "qat none"])
def test_others_start_from_the_rounded_weights(runs: dict[str, RunDir], name: str, text: Path, tmp_path: Path):
    step = runs[name].result_step()
    assert step is not None
    frozen = config(text, architecture=UNTIED, optimizer={"lr": 0.0}, trainer={"checkpoints": 1})
    run = carry_out(tmp_path / "run", frozen, 1, init=at(runs[name], step))
    assert torch.allclose(logits(run), logits(runs[name]), atol=1e-5)


def test_qat_goes_on_from_a_trained_run(runs: dict[str, RunDir], text: Path, tmp_path: Path):
    of = config(text, architecture=UNTIED, quantizer={"name": "qat_int8"}, optimizer={"lr": 0.0})
    run = carry_out(tmp_path / "run", of, 1, init=at(runs["parent"], STEPS))
    assert torch.equal(logits(run), logits(runs["int8 none"]))


# ------------------------------------------------------------------------------------- bad input


def copied(run: RunDir, folder: Path) -> RunDir:
    import shutil

    shutil.copytree(run.path, folder / run.id)
    return RunDir(folder / run.id)


@pytest.mark.parametrize("file", [RECIPE, f"{QUANTIZED}.safetensors"])
def test_a_damaged_checkpoint_is_not_loaded(runs: dict[str, RunDir], file: str, tmp_path: Path):
    run = copied(runs["int8 none"], tmp_path)
    path = run.checkpoint(0) / file
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match="has no whole checkpoint"):
        load_model(run)


def test_a_recipe_of_another_model_is_told(runs: dict[str, RunDir], tmp_path: Path):
    run = copied(runs["int8 none"], tmp_path)
    path = run.checkpoint(0) / RECIPE
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantized": ["body.other.weight"]}))
    (run.checkpoint(0) / "checksums.json").unlink()
    seal(run.checkpoint(0))
    with pytest.raises(UserError, match=f"{RECIPE} cannot be followed. The recipe names body.other.weight"):
        load_model(run)
