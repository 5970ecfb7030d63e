"""Ladders for tests: one that was trained, and ones whose law is known because it was planted."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.interfaces.analysis import Point

TRAINED_N = [7.0e3, 25e3, 83e3, 195e3]
#: Twelve transformers on the Python standard library: D → validation loss, nats per token, at each N.
TRAINED = {
    0.5e6: [3.796, 3.601, 3.447, 3.332],
    1e6: [3.696, 3.398, 3.158, 3.001],
    2e6: [3.580, 3.244, 2.938, 2.774],
}

#: Chinchilla's own law (Hoffmann et al. 2022, table of approach 3).
LAW = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}


def trained() -> list[Point]:
    return [Point(N, D, loss) for D, row in TRAINED.items() for N, loss in zip(TRAINED_N, row, strict=True)]


def loss(N: float, D: float) -> float:
    return LAW["E"] + LAW["A"] / N ** LAW["alpha"] + LAW["B"] / D ** LAW["beta"]


def planted(sizes: int, budgets: int, noise: float, seed: int = 0, seeds: int = 1) -> list[Point]:
    """A grid from 10 M to 1 B parameters and 200 M to 20 B tokens, with relative noise on the loss."""
    rng = np.random.default_rng(seed)
    return [
        Point(N, D, loss(N, D) * float(np.exp(rng.normal(0, noise))), seed=repeat)
        for N in np.geomspace(1e7, 1e9, sizes).tolist()
        for D in np.geomspace(2e8, 2e10, budgets).tolist()
        for repeat in range(seeds)
    ]


@pytest.fixture
def ladders() -> SimpleNamespace:
    return SimpleNamespace(trained=trained, planted=planted, loss=loss, law=LAW)
