"""From typing `harness train experiment=tiny` to its first optimizer step, in parts: at most 3 s over a bare script.

A fresh process each time, with the data in the cache. The bare script imports torch and Lightning and takes one step;
the two take turns, and the median of what the harness takes longer is told. A plugin of the bench's own, named by
HARNESS_PLUGINS, notes the times: an import hook when a heavy module is first asked for, a hook before the run, and a
Lightning callback after the first step. The start of the verbs that train nothing stands beside it.

    python bench/start.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 3.0
VERBS = {"--help": ["--help"], "describe": ["describe"], "plan --json": ["plan", "quickstart", "--json"]}

BARE = """
import time
import torch
import lightning.pytorch
model = torch.nn.Linear(64, 64)
optimizer = torch.optim.AdamW(model.parameters())
model(torch.ones(8, 64)).sum().backward()
optimizer.step()
print(time.time())
"""

#: The plugin. Each part ends when what is named after it begins.
WATCH = """
import json, os, sys, time
from harness import hookimpl

HARNESS_INTERFACE = 1
marks = {"interpreter, command line, plugins": time.time()}
ASKED = {"harness.planning.plan": "composition", "torch": "plan", "lightning": "import torch"}

class Asked:
    def find_spec(self, name, path=None, target=None):
        if name in ASKED:
            marks.setdefault(ASKED[name], time.time())
        elif name.startswith("harness.training.") and "import torch" in marks:
            marks.setdefault("import lightning", time.time())

sys.meta_path.insert(0, Asked())

@hookimpl
def before_run(config, run):
    marks["data, manifest"] = time.time()

@hookimpl
def register_callbacks(config, run):
    from lightning.pytorch import Callback

    class First(Callback):
        def on_fit_start(self, trainer, pl_module):
            marks["speed of the machine, model, Trainer"] = time.time()

        def on_train_batch_end(self, *words):
            marks["first step"] = time.time()
            print(json.dumps(marks), flush=True)
            os._exit(0)

    return [First()]
"""


def ours(folder: Path, seed: int) -> dict[str, float]:
    """Seconds of each part, in their order."""
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "train",
        "experiment=tiny",
        "trainer.accelerator=cpu",
        f"seed={seed}",
    ]
    env = {**os.environ, "HARNESS_PLUGINS": "start_watch", "PYTHONPATH": str(folder)}
    before = time.time()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    parts = {}
    for part, mark in json.loads(done.stdout.splitlines()[-1]).items():
        parts[part], before = mark - before, mark
    return parts


def bare() -> float:
    before = time.time()
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True)
    return float(done.stdout) - before


def verb(words: list[str], folder: Path) -> float:
    before = time.perf_counter()
    subprocess.run([sys.executable, "-m", "harness.cli", *words], cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "start_watch.py").write_text(WATCH)
        ours(folder, 0)  # fills the cache
        taken, script = [], []
        for turn in range(1, repeats + 1):
            script += [bare()] if turn % 2 else []
            taken.append(ours(folder, turn))
            script += [] if turn % 2 else [bare()]
        for part in taken[0]:
            print(f"start: {statistics.median(parts[part] for parts in taken):5.2f} s {part}")
        more = statistics.median(sum(parts.values()) - other for parts, other in zip(taken, script, strict=True))
        whole = statistics.median(sum(parts.values()) for parts in taken)
        print(
            f"start: {whole:.2f} s to the first step, {more:.2f} s over a script that imports torch and Lightning and "
            f"takes a step ({statistics.median(script):.2f} s; at most {LIMIT:g} s over it)"
        )
        for name, words in VERBS.items():
            print(f"start: {statistics.median(verb(words, folder) for _ in range(repeats)):.2f} s harness {name}")
    if more > LIMIT:
        sys.exit(1)


if __name__ == "__main__":
    main()
