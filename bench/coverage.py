"""How often the fits' 95 % intervals hold the truth: over 200 simulated ladders of each design, 90 to 99 %.

The ladders are drawn from known laws with seed noise of 0.01 to 0.02 nats and analysed as a study analyses them;
what is asked is whether the intervals of α and β hold the true exponents, and the interval of the largest rung, which
the fit has not seen, the loss that was drawn there. After ± stands the simulation's own standard error.

    python bench/coverage.py [--ladders 200]
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from harness.interfaces.analysis import AnalysisConfig
from harness_plugins.analysis.chinchilla import ChinchillaConfig
from harness_plugins.analysis.power_law import PowerLawConfig
from tests.plugins.analysis.simulated import FIXED_BUDGET, JOINT, Ladder, fixed_budget_covers, joint_covers

LEAST, MOST = 0.90, 0.99
# A fifth of what a study draws: the quantiles are coarser, which favours neither side, and 200 ladders take minutes.
ANALYSES: list[tuple[str, AnalysisConfig, list[Ladder], Callable[..., dict[str, bool]]]] = [
    ("chinchilla", ChinchillaConfig(bootstraps=200), JOINT, joint_covers),
    ("power_law", PowerLawConfig(), FIXED_BUDGET, fixed_budget_covers),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladders", type=int, default=200)
    ladders = parser.parse_args().ladders
    outside = False
    for analysis, config, designs, covers in ANALYSES:
        for design in designs:
            rng = np.random.default_rng(0)
            drawn = [found for _ in range(ladders) if (found := covers(config, design, rng))]
            print(f"coverage of {analysis}: {design.name}, noise {design.noise} nats, {len(drawn)} of {ladders} fitted")
            for quantity in drawn[0]:
                held = [found[quantity] for found in drawn]
                share = sum(held) / len(held)
                error = math.sqrt(share * (1 - share) / len(held))
                print(f"  {quantity:<9} {share:6.1%} ± {error:.1%} (bound {LEAST:.0%} to {MOST:.0%})", flush=True)
                outside |= not LEAST <= share <= MOST
    if outside:
        sys.exit(1)


if __name__ == "__main__":
    main()
