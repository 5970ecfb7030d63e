"""The loss in bfloat16 and compiled, beside float32's: `bench/precision.py` with fewer steps and seeds."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import precision as bench

# Sixty steps of a rung: what a short warm-up would blow up of a rounding, a longer one does not.
BASE = [
    *("scale=ladder", "scale.width=24", "corpus=synthetic", "tokenizer=bytes", "budget.tokens=60000"),
    *("data.batch_size=8", "schedule.warmup=0.2", "optimizer.betas=[0.9,0.99]"),
]


@pytest.mark.slow
def test_curves_stay_within_the_band_and_are_not_one_and_the_same(tmp_path):
    found = bench.curves(BASE, 2, tmp_path)
    assert found["float32"][:, 0].min() > found["float32"][:, -1].max(), "something was learnt"
    for name in [*bench.VARIANTS][1:]:
        assert 0.0 < bench.away(found, name).max() < bench.BAND
