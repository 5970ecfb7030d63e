"""How far bfloat16 and compilation move the loss of a run: one rung of the quickstart, over three seeds.

The same weights at the start and the same batches are trained on in float32, in bfloat16 autocast, compiled, and both.
Told are the largest differences to float32, seed by seed, of the training loss (nats per token, means of ten steps) and
of the held-out loss, beside how far apart the seeds of float32 are.

    python bench/precision.py [--width 24] [--tokens 500000]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from harness.composition import run_config
from harness.launch.run import carry_out
from harness.planning.plan import resolve
from harness.studies.sweep_file import load_sweep

#: Nats per token that no mean of ten steps, and no held-out loss, may be away from that of float32.
BAND = 0.02

VARIANTS: dict[str, list[str]] = {
    "float32": [],
    "bfloat16": ["trainer.precision=bf16"],
    "compiled": ["trainer.compile=true"],
    "both": ["trainer.precision=bf16", "trainer.compile=true"],
}


def losses(overrides: Sequence[str], runs: Path) -> np.ndarray:
    """The training losses of one run, in order, and its held-out loss last."""
    # What is compiled has the identity of what is not, so that each run has a folder of its own.
    plan = resolve(run_config([*overrides, f"runs={runs}", "trainer.accelerator=cpu"]))
    run = carry_out(plan, score=False, quiet=True).run
    return np.array([*(row["loss"] for row in run.metrics()), run.manifest()["result"]["held_out_loss"]])


def curves(base: Sequence[str], seeds: int, folder: Path) -> dict[str, np.ndarray]:
    """By variant, a row for each seed: training losses, and the held-out loss last."""
    return {
        name: np.stack([losses([*base, *changes, f"seed={k}"], folder / f"{name}-{k}") for k in range(seeds)])
        for name, changes in VARIANTS.items()
    }


def away(found: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The largest difference to float32 over all seeds, at each place of the curve."""
    return np.abs(found[name] - found["float32"]).max(axis=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=24, help="of the rung, in channels")
    parser.add_argument("--tokens", type=int, default=500_000, help="training tokens")
    asked = parser.parse_args()
    base = [*load_sweep("quickstart").base, f"scale.width={asked.width}", f"budget.tokens={asked.tokens}"]
    with tempfile.TemporaryDirectory() as folder:
        found = curves(base, 3, Path(folder))
    spread = np.ptp(found["float32"], axis=0)
    worst = max(float(away(found, name).max()) for name in VARIANTS)
    print(f"{'nats per token':20} training, at most   held-out")
    print(f"{'seeds of float32':20} {spread[:-1].max():17.5f} {spread[-1]:10.5f}   (range)")
    for name in [*VARIANTS][1:]:
        print(f"{name:20} {away(found, name)[:-1].max():17.5f} {away(found, name)[-1]:10.5f}")
    print(f"The largest difference is {worst:.5f}; the band is {BAND}.")
    return int(worst > BAND)


if __name__ == "__main__":
    sys.exit(main())
