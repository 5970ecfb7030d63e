"""Experts in training: the same by any cut of the batch, killed or not; their load on held-out text."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir, trained

from harness.config import plugin_config
from harness.launch.ranks import together
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.training.job import Parent
from harness.training.train import load_model, train

STEPS = 12


def experts(text: Path, trainer: dict | None = None, **values) -> RunConfig:
    """Both ways of balancing at once."""
    mixture = {
        "name": "mixture_of_experts", "expert": {"name": "gated", "hidden": 8}, "experts": 6, "score": "sigmoid",
        "shared": {"name": "mlp", "hidden": 8}, "bias_rate": 0.01, "balance_loss": 0.02, "z_loss": 0.001, **values,
    }  # fmt: skip
    given = {"log_every": 1, "checkpoints": 3, **(trainer or {})}
    return config(text, architecture={"feedforward": mixture}, data={"batch_size": 8}, trainer=given)


def carry_out(of: RunConfig, path: Path) -> RunDir:
    import harness.training.fit  # noqa: F401

    run, work = run_dir(path, of), job(of, STEPS)
    if of.trainer.devices == 1:
        trained(work, run)
    else:
        with run.lease() as held:
            together(of.trainer.devices, lambda rank: train(work, held, progress=False))
    return run


def biases(run: RunDir) -> dict[str, torch.Tensor]:
    model, _, _ = load_model(run)
    return {name: buffer for name, buffer in model.named_buffers() if name.endswith("router.bias")}


def losses(run: RunDir) -> list[float]:
    return [row["loss"] for row in run.metrics()]


@pytest.fixture(scope="module")
def whole(text: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return carry_out(experts(text), tmp_path_factory.mktemp("whole") / "run")


def test_the_bias_moves_by_a_step_at_a_time(whole: RunDir):
    found = biases(whole)
    assert list(found) == [f"body.blocks.{layer}.feedforward.router.bias" for layer in range(2)]
    for bias in found.values():
        moved = bias / 0.01
        torch.testing.assert_close(moved, moved.round(), rtol=0, atol=1e-4)
        assert 0 < moved.abs().max() <= STEPS


def test_a_checkpoint_has_the_bias_of_its_step(whole: RunDir):
    first, _, _ = load_model(whole, STEPS * 2 // 3)
    assert any(not torch.equal(first.get_buffer(name), bias) for name, bias in biases(whole).items()), (
        "the bias at the end is another one"
    )


CUTS = {
    "micro-batches": {"micro_batch": 2},
    "unequal micro-batches": {"micro_batch": 3},
    "recomputed": {"activation_checkpointing": "blocks", "micro_batch": 4},
    "selectively recomputed": {"activation_checkpointing": "selective"},
}
LAYOUTS = {
    "ddp": {"devices": 2},
    "fsdp": {"devices": 2, "strategy": "fsdp", "micro_batch": 2, "activation_checkpointing": "blocks"},
    "tensor": {"devices": 2, "tensor_parallel": 2},
}


@pytest.mark.parametrize("trainer", CUTS.values(), ids=CUTS.keys())
def test_however_the_batch_is_cut_the_run_is_the_same(trainer: dict, whole: RunDir, text: Path, tmp_path: Path):
    assert_same(carry_out(experts(text, trainer), tmp_path / "run"), whole)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_however_it_is_spread_the_run_is_the_same(trainer: dict, whole: RunDir, text: Path, tmp_path: Path):
    assert_same(carry_out(experts(text, trainer), tmp_path / "run"), whole)


def assert_same(run: RunDir, whole: RunDir) -> None:
    assert losses(run) == pytest.approx(losses(whole), rel=0, abs=1e-5)
    for name, bias in biases(whole).items():
        assert torch.equal(biases(run)[name], bias)
    ours, theirs = (of.manifest()["result"]["held_out_load"] for of in (run, whole))
    assert list(ours) == list(theirs)


def test_stopped_and_started_again_it_ends_with_the_same_bits(
    whole: RunDir, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run, work = run_dir(tmp_path / "run", experts(text)), job(experts(text), STEPS)

    from harness.training.recorder import Recorder

    plain = Recorder.on_train_batch_end

    def stop_after_five(self, trainer, *arguments):
        plain(self, trainer, *arguments)
        if trainer.global_step == 5:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_train_batch_end", stop_after_five)
        with pytest.raises(KeyboardInterrupt):
            trained(work, run)
    assert run.last_whole_checkpoint()[0] == 5
    trained(work, run)
    for name in ("model.safetensors", "optimizer.safetensors"):
        one, two = (load_file(of.checkpoint(STEPS) / name) for of in (run, whole))
        assert all(torch.equal(one[key], two[key]) for key in two)
    assert losses(run) == losses(whole)


def test_evaluation_moves_nothing(whole: RunDir, text: Path, tmp_path: Path):
    of = experts(text)
    run = carry_out(replace(of, watch=replace(of.watch, validate_every=2)), tmp_path / "run")
    assert all(torch.equal(biases(run)[name], bias) for name, bias in biases(whole).items())
    assert losses(run) == losses(whole)


def test_the_load_on_held_out_text_is_told(whole: RunDir):
    result = whole.manifest()["result"]
    assert len(result["held_out_load"]) == 2
    for shares in result["held_out_load"].values():
        assert sum(shares) == pytest.approx(6)
    told = result["held_out_measures"]["largest_expert_load"]
    assert told["value"] == max(max(shares) for shares in result["held_out_load"].values())
    assert told["n"] == 2 * result["held_out_tokens"]


BALANCING = {
    "none": {"balance_loss": 0.0},
    "balance loss": {"balance_loss": 0.01},
    "bias": {"balance_loss": 0.0, "bias_rate": 0.01, "score": "sigmoid"},
}


@pytest.mark.slow
def test_balanced_no_expert_gets_twice_its_share_of_held_out_text(tmp_path: Path):
    """A third of a million bytes of the standard library; without balancing a few experts get nearly all."""
    largest = {}
    for name, options in BALANCING.items():
        mixture = {"name": "mixture_of_experts", "expert": {"name": "gated", "hidden": 32}, **options}
        architecture = {
            "width": 48, "init_std": 0.07, "attention": {"name": "multi_head", "heads": 3}, "feedforward": mixture,
        }  # fmt: skip
        data = {"sequence_length": 128, "batch_size": 8, "held_out": 0.02}
        of = config(tmp_path, architecture=architecture, data=data)
        of = replace(of, corpus=plugin_config("corpus", "python_stdlib", "corpus"))
        result = trained(job(of, 300), run_dir(tmp_path / name, of))
        largest[name] = result["held_out_measures"]["largest_expert_load"]["value"]
    print(f"the largest load of an expert, over its share: {largest}")
    assert largest["none"] > 2.5
    assert largest["balance loss"] < 2
    assert largest["bias"] < 2


def test_an_adapter_leaves_the_bias_of_its_base_alone(whole: RunDir, text: Path):
    of = replace(experts(text), adapter=plugin_config("adapter", "lora", "adapter"))
    run, parent = run_dir(whole.path.parent / "adapted", of), Parent(whole.path, STEPS, f"{whole.id}@{STEPS}")
    trained(replace(job(of, 4), parents={"init": parent}), run)
    assert all(torch.equal(biases(run)[name], bias) for name, bias in biases(whole).items())
    model, of_base = (load_model(run)[0].state_dict() for run in (run, whole))
    expert = "body.blocks.0.feedforward.experts.0.gate.weight"
    assert not torch.equal(model[expert], of_base[expert])


@pytest.mark.parametrize("activations", ["none", "dynamic"])
def test_experts_are_quantized_and_the_router_is_not(activations: str, whole: RunDir, text: Path, tmp_path: Path):
    """Also one that is given nothing, in numbers that come from what is multiplied."""
    int8 = plugin_config("quantizer", {"name": "int8", "activations": activations}, "quantizer")
    of = replace(experts(text), method=None, quantizer=int8)
    run, parent = run_dir(tmp_path / "run", of), Parent(whole.path, STEPS, "parent")
    trained(replace(job(of, 0), parents={"init": parent}), run)
    told = run.manifest()["quantization"]
    assert "body.blocks.0.feedforward.experts.0.gate.weight" in told["quantized"]
    assert "body.blocks.0.feedforward.router.weight" in told["left"]
    assert all(torch.equal(biases(run)[name], bias) for name, bias in biases(whole).items())
    (one, _, _), (other, _, _) = load_model(run), load_model(whole)
    tokens_BT = torch.arange(16)[None]
    with torch.no_grad():
        difference = one.logits(tokens_BT) - other.logits(tokens_BT)
    assert 0 < difference.norm() / other.logits(tokens_BT).norm() < 0.05


def test_decoding_token_by_token_is_decoding_at_once(whole: RunDir):
    model, _, _ = load_model(whole)
    tokens_BT = torch.randint(257, (3, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        state = model.body.start(3, 12)
        steps = [model.logits(tokens_BT[:, t : t + 1], state=state) for t in range(12)]
        torch.testing.assert_close(torch.cat(steps, 1), model.logits(tokens_BT), rtol=1e-4, atol=1e-5)
