"""What a training step costs over a bare PyTorch loop that reaches the identical loss: at most 1 ms.

The bare loop has its tokens in memory in the order of the stream and does what a short script would: forward,
cross-entropy, backward, clip, cosine, AdamW. Both train the same model from the same seed in one process and one
thread, block by block in turns. What is told is the median difference of the processor's time, so that what else the
machine does is left out; nothing in a step waits for anything.

    python bench/step.py [--blocks 80]
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "training"))

import small_runs as jobs
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback

from harness.training import fit as fitting
from harness.training.interrupt import Interrupt
from harness.training.job import TrainingJob
from harness.training.peak import Peak
from harness.training.progress import Progress

LIMIT_MS = 1.0
BLOCK = 10  #: steps; as many as lie between two rows of metrics, so that each pair pays for one


class Bare:
    """The loop without a harness."""

    def __init__(self, job: TrainingJob) -> None:
        config, (init, data, _) = job.config, job.seeds
        torch.manual_seed(init)
        self.model, self.steps, self.config = config.architecture.build(job.vocabulary), job.steps, config
        decays = [p for p in self.model.parameters() if p.ndim == 2]
        others = [p for p in self.model.parameters() if p.ndim != 2]
        groups = [{"params": decays, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=config.optimizer.lr, betas=(0.9, 0.95), fused=True)
        batch = config.data.batch_size
        rows = job.dataset.stream(data).sequences(0, job.steps * batch).tokens_BS
        self.tokens_KBS = torch.from_numpy(rows).unflatten(0, (job.steps, batch))
        self.losses: list[torch.Tensor] = []

    def lr(self, step: int) -> float:
        warm = round(0.05 * self.steps)
        if step < warm:
            return self.config.optimizer.lr * ((step + 1) / (warm + 1))
        cosine = (1 + math.cos(math.pi * ((step - warm) / (self.steps - warm)))) / 2
        return self.config.optimizer.lr * (0.1 + 0.9 * cosine)

    def run(self, start: int, stop: int) -> None:
        for step in range(start, stop):
            tokens_BS = self.tokens_KBS[step]
            logits_BTV = self.model.logits(tokens_BS[:, :-1])
            targets = tokens_BS[:, 1:].flatten()
            loss = F.cross_entropy(logits_BTV.flatten(0, 1), targets, reduction="none").sum() / targets.numel()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr(step)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.losses.append(loss.detach())


class Turns(Callback):
    """After each block of the harness's steps, the bare loop's turn at the same steps."""

    def __init__(self, bare: Bare) -> None:
        self.bare = bare
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.losses: list[torch.Tensor] = []
        self._start = 0.0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._start = time.process_time()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        """The turn of the bare loop comes when all has been done for the step before."""
        step = trainer.global_step
        if step and step % BLOCK == 0:
            self.change(step)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.losses.append(pl_module.losses[-1])
        if trainer.global_step == pl_module.steps:
            self.change(trainer.global_step)

    def change(self, step: int) -> None:
        now = time.process_time()
        self.bare.run(step - BLOCK, step)
        end = time.process_time()
        self.ours.append((now - self._start) / BLOCK)
        self.theirs.append((end - now) / BLOCK)
        self._start = time.process_time()


#: What can be watched, each at every step so that the cost of one look is seen; validation is one of its own.
WATCHED = {
    "nothing asked for": {},
    "watch.on_spike=skip": {"on_spike": "skip", "spike": 1e9},
    "watch.norms_every=1": {"norms_every": 1},
    "watch.activations_every=1": {"activations_every": 1},
    "watch.sample_every=1, 8 tokens": {"sample_every": 1, "sample_tokens": 8},
}


def measure(folder: Path, watch: dict[str, Any], blocks: int) -> tuple[float, float]:
    """Milliseconds of a step over the bare loop's, and of the bare loop's; medians over the blocks."""
    config = jobs.config(
        jobs.write_text(folder / "text"),
        architecture={"width": 32},
        data={"sequence_length": 128, "batch_size": 8},
        trainer={"checkpoints": 1, "log_every": 10},
        watch=watch,
    )
    job = jobs.job(config, blocks * BLOCK)
    turns = Turns(Bare(job))
    run = jobs.run_dir(folder / "-".join(["run", *watch]), config)
    fitting.plugins.load().call = lambda hook, **_: [turns] if hook == "register_callbacks" else []  # type: ignore
    shown = Progress("bench", job.steps, shown=False)
    with run.lease() as held:
        fitting.fit(job, held, None, torch.device("cpu"), Peak(1e11, "made up"), shown, Interrupt())
    assert torch.equal(torch.stack(turns.losses), torch.stack(turns.bare.losses)), "the losses are not identical"
    pairs = zip(turns.ours[1:], turns.theirs[1:], strict=True)
    cost = statistics.median(ours - theirs for ours, theirs in pairs) * 1e3
    return cost, statistics.median(turns.theirs[1:]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=80, help=f"blocks of {BLOCK} steps")
    blocks = parser.parse_args().blocks
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        found = {
            what: measure(Path(name), watch, blocks if not watch else blocks // 4) for what, watch in WATCHED.items()
        }
    off, bare = found["nothing asked for"]
    print(f"step: {off:.2f} ms over a bare loop of {bare:.2f} ms (at most {LIMIT_MS}); equal losses")
    for what, (cost, _) in list(found.items())[1:]:
        print(f"step: {what}: {cost - off:+.2f} ms for each step that is watched")
    if off > LIMIT_MS:
        sys.exit(1)


if __name__ == "__main__":
    main()
