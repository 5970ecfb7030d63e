"""SIGKILL at any moment, for every way of training: started again, a run ends with the bits of one that was left alone.

AdamW and Muon, float32 and bfloat16, compiled or not, one process or two under FSDP2; each is killed once at a random
moment and once in the middle of writing a checkpoint.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from small_runs import config, job, run_dir

from harness import rundir
from harness.config import plugin_config
from harness.launch.ranks import together
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.training import checkpoints, reference
from harness.training.job import Parent, TrainingJob
from harness.training.train import train
from tests import conversations, preferences

pytestmark = pytest.mark.slow

STEPS, KEPT_EVERY = 60, 5
PATIENCE = 240.0  # seconds

WAYS = [
    (optimizer, precision, compiled, devices)
    for compiled in (False, True)
    for optimizer in ("adamw", "muon")
    for precision in ("fp32", "bf16")
    for devices in (1, 2)
    # compiled ones take long to start: each pair of choices once
    if not compiled or (optimizer == "adamw") == ((precision == "fp32") == (devices == 1))
]


def prepared(text: Path, way: tuple[str, str, bool, int]) -> TrainingJob:
    optimizer, precision, compiled, devices = way
    of = config(
        text,
        architecture={"residual_dropout": 0.1},
        optimizer={"name": optimizer},
        trainer={
            "precision": precision, "compile": compiled, "devices": devices, "strategy": "fsdp",
            "checkpoints": STEPS // KEPT_EVERY, "log_every": 5,
        },
    )  # fmt: skip
    return job(of, STEPS)


def start(of: TrainingJob, run: RunDir, before: Callable[[], None] = lambda: None) -> int:
    """Carries the run out in a child process and its ranks; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        before()
        with run.lease() as held:
            if of.config.trainer.devices == 1:
                train(of, held, progress=False)
            else:
                together(of.config.trainer.devices, lambda rank: train(of, held, progress=False))
        code = 0
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """The child's exit code, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(child: int) -> None:
    """The child and its ranks, all at once."""
    try:
        ranks = [int(pid) for pid in Path(f"/proc/{child}/task/{child}/children").read_text().split()]
    except FileNotFoundError:
        ranks = []
    for pid in (child, *ranks):
        os.kill(pid, signal.SIGKILL)
    assert wait(child) == -signal.SIGKILL


def step_of(run: RunDir) -> int:
    last = run.last_whole_checkpoint()
    return last[0] if last else 0


def tensors(run: RunDir) -> dict[str, torch.Tensor]:
    """Every part of weights and optimizer state in the last checkpoint, by file and name."""
    found = {}
    for file in sorted(run.checkpoint(STEPS).glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            found |= {f"{file.name}: {name}": opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    return found


def killed_at_random(of: TrainingJob, run: RunDir) -> None:
    child, end = start(of, run), time.monotonic() + PATIENCE
    while step_of(run) < 2 * KEPT_EVERY:
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(random.random() * 0.1)
    kill(child)
    assert step_of(run) < STEPS


def killed_while_it_writes(of: TrainingJob, run: RunDir) -> None:
    """The last rank dies in the middle of a checkpoint: before its tensors, after them, or before the rename."""
    where = random.choice(
        ["write_parts", "write_json", "rename_folder"] if of.config.trainer.devices == 1 else ["write_parts"]
    )
    owner: Any = rundir if where == "rename_folder" else checkpoints
    plain, at = getattr(owner, where), step_of(run) + 2 * KEPT_EVERY

    def deadly(path: Path, *arguments: Any) -> Any:
        rank = int(os.environ.get("RANK", 0))
        if f"step-{at:08d}" in str(path) and rank == of.config.trainer.devices - 1:
            if where == "write_parts":
                (path / "model.safetensors").write_bytes(b"half a file")
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(path, *arguments)

    code = wait(start(of, run, lambda: setattr(owner, where, deadly)))
    assert code == (-signal.SIGKILL if of.config.trainer.devices == 1 else 1)
    assert step_of(run) == at - KEPT_EVERY


@pytest.mark.parametrize(
    "way", WAYS, ids=lambda way: "-".join(map(str, way)).replace("False", "eager").replace("True", "compiled")
)
def test_two_kills_change_no_bit(way: tuple[str, str, bool, int], text: Path, tmp_path: Path):
    assert_two_kills_change_no_bit(prepared(text, way), tmp_path)


def test_two_kills_change_no_bit_of_fine_tuning(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It starts from another run, and its batches hold different numbers of answers' tokens."""
    import harness.training.fit  # noqa: F401

    conversations.register(monkeypatch)
    parent_config = config(text)
    of = replace(
        parent_config,
        corpus=conversations.Talks(name="talks"),
        data=replace(parent_config.data, sequence_length=160, template="chat"),
        method=plugin_config("method", "sft", "method"),
        trainer=replace(parent_config.trainer, checkpoints=STEPS // KEPT_EVERY, micro_batch=2),
    )
    starts = {"init": parent_of(parent_config, tmp_path)}
    assert_two_kills_change_no_bit(replace(job(of, STEPS), parents=starts), tmp_path)


@pytest.mark.parametrize("layout", ["one", "ddp", "fsdp"])
def test_two_kills_change_no_bit_of_an_adapter(layout: str, text: Path, tmp_path: Path):
    """What it stands beside is read again each time; its dropout is drawn again."""
    import peft  # noqa: F401 - once for all processes, as the others are

    spread = {} if layout == "one" else {"devices": 2, "strategy": layout}
    adapter = {"name": "lora", "dropout": 0.2}
    of = config(text, adapter=adapter, trainer={"checkpoints": STEPS // KEPT_EVERY, "log_every": 5, **spread})
    starts = {"init": parent_of(config(text), tmp_path)}
    assert_two_kills_change_no_bit(replace(job(of, STEPS), parents=starts), tmp_path)


@pytest.mark.parametrize("devices", [1, 2])
def test_kills_change_no_bit_of_dpo(devices: int, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also one while the reference's log-probabilities are computed, which then are computed again."""
    import harness.training.fit  # noqa: F401

    preferences.register(monkeypatch)
    parent_config = config(text)
    of = replace(
        parent_config,
        corpus=preferences.Tastes(name="tastes"),
        data=replace(parent_config.data, sequence_length=64),
        method=plugin_config("method", "dpo", "method"),
        trainer=replace(parent_config.trainer, checkpoints=STEPS // KEPT_EVERY, devices=devices),
    )
    parent = parent_of(parent_config, tmp_path)
    prepared_job = replace(job(of, STEPS), parents={"init": parent, "reference": parent})
    assert_two_kills_change_no_bit(prepared_job, tmp_path)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    run, known = run_dir(tmp_path / "begun", of), tmp_path / "another" / "harness" / "log_probabilities"
    code = wait(start(prepared_job, run, killed_in_the_third_block))
    assert code == (-signal.SIGKILL if devices == 1 else 1)
    assert step_of(run) == 0
    assert not list(known.glob("*/checksums.json"))
    assert wait(start(prepared_job, run)) == 0
    (folder,) = (file.parent for file in known.glob("*/checksums.json"))
    assert not list(known.glob(f".{folder.name}-*")), "what the killed one left is gone"
    ours, theirs = tensors(run), tensors(RunDir(tmp_path / "alone"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def killed_in_the_third_block() -> None:
    plain, calls = reference._of_rows, []

    def deadly(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments)

    reference._of_rows = deadly  # type: ignore[assignment]


def parent_of(parent_config: RunConfig, tmp_path: Path) -> Parent:
    parent = run_dir(tmp_path / "parent", parent_config)
    assert wait(start(job(parent_config, 4), parent)) == 0
    return Parent(parent.path, 4, f"{parent.id}@4")


def test_two_kills_change_no_bit_of_training_for_int8(text: Path, tmp_path: Path):
    """Nor of what is converted, which lies beside the floats."""
    of = config(
        text, architecture={"residual_dropout": 0.1}, quantizer={"name": "qat_int8", "activations": "dynamic"},
        trainer={"checkpoints": STEPS // KEPT_EVERY},
    )  # fmt: skip
    assert_two_kills_change_no_bit(job(of, STEPS), tmp_path)
    assert any("model-quantized" in name for name in tensors(run_dir(tmp_path / "killed", of)))


def assert_two_kills_change_no_bit(of: TrainingJob, tmp_path: Path) -> None:
    """Killed at random and while it writes, a run ends with the bits of one that was left alone."""
    import harness.training.fit  # noqa: F401

    alone, run = (run_dir(tmp_path / name, of.config) for name in ("alone", "killed"))
    assert wait(start(of, alone)) == 0
    killed_at_random(of, run)
    killed_while_it_writes(of, run)
    assert wait(start(of, run)) == 0

    ours, theirs = tensors(run), tensors(alone)
    assert ours.keys() == theirs.keys()
    assert any("optimizer" in name for name in ours)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    columns = ("step", "loss", "grad_norm")
    assert [[row[c] for c in columns] for row in run.metrics()] == [
        [row[c] for c in columns] for row in alone.metrics()
    ]
    first, second, third = run.manifest()["attempts"]
    for before, after in ((first, second), (second, third)):
        assert after["from_step"] > 0
        assert 0 <= before["to_step"] - after["from_step"] <= KEPT_EVERY, "at most one interval is done again"
    assert third["to_step"] == STEPS
