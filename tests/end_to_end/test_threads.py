"""Threads come from the config: what the machine would choose changes no bit of the weights and of the scores."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

#: Matrices large enough that two threads would share them and add in another order.
WORDS = [
    "experiment=tiny", "corpus=text", "tokenizer=bytes", "architecture.width=128", "data.sequence_length=128",
    "data.batch_size=8", "data.held_out=0.2", "budget.tokens=10240", "trainer.accelerator=cpu", "suite.pairs=0",
    "suite.documents=4", "suite.problems=4",
]  # fmt: skip


def trained(folder: Path, threads_of_the_machine: int, *words: str) -> tuple[str, list[dict]]:
    """The digest of a run's weights and its scores, computed where OMP_NUM_THREADS says so many threads."""
    text = folder / "text"
    text.mkdir(parents=True)
    for number in range(40):
        (text / f"{number}.txt").write_text(f"the {number} times table: {number * number} " * 30)
    command = [sys.executable, "-m", "harness.cli", "train", *WORDS, *words, "corpus.path=text"]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads_of_the_machine), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = [path.parent for path in folder.glob("runs/*/scores.json")]
    (weights,) = sorted(run.glob("checkpoints/*10/model*.safetensors"))
    scores = json.loads((run / "scores.json").read_text())
    return hashlib.sha256(weights.read_bytes()).hexdigest(), scores


def test_the_machines_threads_change_no_bit(tmp_path: Path) -> None:
    one, two = (trained(tmp_path / str(threads), threads) for threads in (1, 2))
    assert one == two
    assert len(one[1]) > 5
