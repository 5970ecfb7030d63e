"""A method that generates, in the loop: the same rollouts whatever the micro-batches and ranks, precision, what is told,
and kills between and during rollouts."""

import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_runs import config, job, run_dir, trained

from harness.launch.ranks import together
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.training.job import Parent, TrainingJob
from harness.training.train import train
from tests import prompts

STEPS = 6

#: Of float32 sums whose order differs.
CLOSE = {"rel": 0, "abs": 1e-5}


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts.register(monkeypatch)


@pytest.fixture(scope="module")
def parent(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Parent:
    """A run of a few steps."""
    of = config(text)
    run = run_dir(tmp_path_factory.mktemp("parent") / "parent", of)
    trained(job(of, STEPS), run)
    return Parent(run.path, STEPS, f"parent@{STEPS}")


def rollouts(parent: Parent, steps: int = STEPS, method: dict[str, Any] | None = None, **trainer: Any) -> TrainingJob:
    of: RunConfig = config(
        parent.path,
        corpus=prompts.Asks(name="asks"),
        method={"name": "grpo", "reward": "letters", "group": 4, "max_new_tokens": 6, **(method or {})},
        data={"sequence_length": 24},
        architecture={"residual_dropout": 0.1},
        trainer={"log_every": 1, "checkpoints": 3, **trainer},
    )
    return replace(job(of, steps), parents={"init": parent, "reference": parent})


def carry_out(of: TrainingJob, path: Path) -> RunDir:
    run, devices = run_dir(path, of.config), of.config.trainer.devices
    with run.lease() as held:
        if devices == 1:
            train(of, held, progress=False)
        else:
            together(devices, lambda rank: train(of, held, progress=False))
    return run


def columns(run: RunDir, *names: str) -> list[list[float]]:
    return [[row[name] for name in names] for row in run.metrics()]


TOLD = ("reward", "no_spread", "length", "ended", "entropy", "kl")


def test_what_is_told_stands_in_every_row_and_of_held_out_prompts_in_the_result(parent: Parent, tmp_path: Path):
    of = rollouts(parent)
    of.config.architecture.residual_dropout = 0.0
    run = carry_out(of, tmp_path / "run")
    assert len(columns(run, "loss", "grad_norm", *TOLD)) == STEPS
    assert run.metrics()[0]["kl"] == pytest.approx(0.0, abs=1e-6), "the reference is what it starts from"
    assert run.metrics()[-1]["kl"] > 1e-6
    result = run.manifest()["result"]
    assert result["held_out_measures"].keys() == set(TOLD)
    assert 0 < result["held_out_measures"]["reward"]["value"] < 2
    assert result["held_out_measures"]["reward"]["n"] % 4 == 0


def test_a_person_sees_reward_and_divergence_while_it_trains(
    parent: Parent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    of = rollouts(parent, steps=1)
    with run_dir(tmp_path / "run", of.config).lease() as held:
        train(of, held)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "step 1 of 1" in line)
    assert re.search(r"loss \S+, reward \S+, kl \S+, .* tokens/s", line)


def test_rows_are_means_since_the_row_before(parent: Parent, tmp_path: Path):
    single, double = (carry_out(rollouts(parent, log_every=n), tmp_path / str(n)) for n in (1, 2))
    rows = torch.tensor(columns(single, "loss", *TOLD), dtype=torch.float64)
    assert rows.view(STEPS // 2, 2, -1).mean(1).flatten().tolist() == pytest.approx(
        torch.tensor(columns(double, "loss", *TOLD), dtype=torch.float64).flatten().tolist(), rel=1e-6
    )


@pytest.mark.parametrize("normalize", ["completion", "token"])
def test_rollouts_and_losses_do_not_depend_on_the_micro_batch(normalize: str, parent: Parent, tmp_path: Path):
    runs = []
    for micro_batch in (None, 2, 1):
        of = rollouts(parent, method={"normalize": normalize}, micro_batch=micro_batch)
        of.config.architecture.residual_dropout = 0.0  # keyed by the micro-batch
        runs.append(carry_out(of, tmp_path / str(micro_batch)))
    whole, *parts = ([c for row in columns(run, "loss", "grad_norm", *TOLD) for c in row] for run in runs)
    for part in parts:
        assert part == pytest.approx(whole, **CLOSE)


@pytest.mark.slow
def test_two_processes_train_like_one(parent: Parent, tmp_path: Path):
    import harness.training.fit  # noqa: F401

    runs = []
    for devices in (1, 2):
        of = rollouts(parent, devices=devices)
        of.config.architecture.residual_dropout = 0.0
        runs.append(carry_out(of, tmp_path / str(devices)))
    one, two = ([c for row in columns(run, "loss", "grad_norm", *TOLD) for c in row] for run in runs)
    assert two == pytest.approx(one, **CLOSE)
    one, two = (run.manifest()["result"]["held_out_measures"]["reward"] for run in runs)
    assert two["value"] == pytest.approx(one["value"], **CLOSE)


@pytest.mark.parametrize("precision", ["bf16", "bf16-true"])
def test_every_parameter_learns_at_every_precision(precision: str, parent: Parent, tmp_path: Path):
    """Also where a rollout has cast the weights before, without gradients."""
    of = rollouts(parent, steps=1, precision=precision, checkpoints=1)
    run = carry_out(of, tmp_path / "run")
    before, after = load_weights(RunDir(parent.path), STEPS), load_weights(run, 1)
    assert before.keys() == after.keys()
    still = [name for name in before if torch.equal(before[name].float(), after[name].float()) and "norm" not in name]
    assert not still


def load_weights(run: RunDir, step: int) -> dict[str, torch.Tensor]:
    files = [file for file in run.checkpoint(step).glob("*.safetensors") if "model" in file.name]
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def test_rollouts_know_no_dropout(parent: Parent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from harness_plugins.alignment.grpo import grpo

    plain, seen = grpo.generate, []

    def watched(model: Any, *arguments: Any, **named: Any) -> Any:
        seen.append([module.training for module in model.modules()])
        return plain(model, *arguments, **named)

    monkeypatch.setattr(grpo, "generate", watched)
    carry_out(rollouts(parent, steps=1), tmp_path / "run")
    assert seen
    assert not any(map(any, seen))


# ------------------------------------------------------------------------------------------ kills


def start(of: TrainingJob, run: RunDir) -> int:
    """The exit code of a child process that carries the run out, negative for the signal that ended it."""
    child = os.fork()
    if not child:
        code = 1
        try:
            with run.lease() as held:
                train(of, held, progress=False)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def tensors(run: RunDir, step: int) -> dict[str, torch.Tensor]:
    """Weights and optimizer state."""
    files = sorted(run.checkpoint(step).glob("*.safetensors"))
    return {f"{file.name}: {name}": tensor for file in files for name, tensor in load_file(file).items()}


@pytest.mark.slow
def test_kills_between_and_during_rollouts_change_no_bit(
    parent: Parent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Once behind a step's rollouts, once in the midst of the next attempt's, micro-batches and dropout included."""
    import harness.training.fit  # noqa: F401
    from harness_plugins.sampler.categorical.sampler import Categorical

    steps, of = 12, rollouts(parent, steps=12, micro_batch=2, log_every=5, checkpoints=6)
    alone, killed = (run_dir(tmp_path / name, of.config) for name in ("alone", "killed"))
    assert start(of, alone) == 0

    drawn, plain = 0, Categorical.__call__

    def deadly(at: int) -> Any:
        def draw(self: Any, logits_BV: torch.Tensor, generator: Any = None) -> torch.Tensor:
            nonlocal drawn
            drawn += 1
            if drawn == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(self, logits_BV, generator)

        return draw

    with monkeypatch.context() as patch:
        # 4 prompts in a step, one draw for each prompt and token: into the fifth step's rollouts
        patch.setattr(Categorical, "__call__", deadly(4 * 6 * 4 + 7))
        assert start(of, killed) == -signal.SIGKILL
    from harness.training.loop import Loop

    reached, update = 0, Loop._update

    def dies_before_its_update(self: Loop, step: int) -> None:
        nonlocal reached
        reached += 1
        if reached == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        update(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_update", dies_before_its_update)
        assert start(of, killed) == -signal.SIGKILL
    assert start(of, killed) == 0

    ours, theirs = tensors(killed, steps), tensors(alone, steps)
    assert ours.keys() == theirs.keys()
    assert any("optimizer" in name for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    names = ("step", "loss", "grad_norm", *TOLD)
    assert columns(killed, *names) == columns(alone, *names)
    assert [attempt["from_step"] for attempt in killed.manifest()["attempts"]] == [0, 4, 6]
    same = killed.manifest()["result"]["held_out_measures"] == alone.manifest()["result"]["held_out_measures"]
    assert same, "held-out prompts are answered alike"
