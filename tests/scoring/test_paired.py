"""Paired errors against the jackknife: leave each sample out, add everything up anew from its parts."""

import math

import numpy as np
import pytest

from harness.scoring.paired import paired_error

N = 300


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two models' log-likelihoods (nats) of documents that are long or short, hard or easy for both; their bytes."""
    rng = np.random.default_rng(seed)
    bytes_ = rng.integers(20, 400, N)
    hard = rng.gamma(4, 0.3, N)
    first, second = (-bytes_ * hard * rng.normal(level, 0.05, N) for level in (1.0, 0.9))
    return first, second, bytes_


def rows(log_likelihoods: np.ndarray, own: np.ndarray, metric: str, wanted: str = "none") -> list[dict]:
    both = zip(log_likelihoods.tolist(), own.tolist(), strict=True)
    return [
        {
            "document": i,
            "filter": wanted,
            "prompt": "",
            "target": f"{i}",
            "log_likelihoods": [ll],
            f"metric.{metric}": x,
        }
        for i, (ll, x) in enumerate(both)
    ]


def jackknife(difference) -> float:
    kept = np.ones(N, dtype=bool)
    found = []
    for i in range(N):
        kept[i] = False
        found.append(difference(kept))
        kept[i] = True
    return math.sqrt((N - 1) / N * np.sum((np.array(found) - np.mean(found)) ** 2))


AGGREGATES = {
    "mean of log-likelihoods": (lambda ll, b: ll, lambda ll, b: ll.mean()),
    "bits per byte": (lambda ll, b: -ll / b / math.log(2), lambda ll, b: -ll.sum() / b.sum() / math.log(2)),
    "perplexity of a byte": (lambda ll, b: np.exp(-ll / b), lambda ll, b: np.exp(-ll.sum() / b.sum())),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", AGGREGATES)
def test_the_error_of_a_difference_is_the_jackknife_s(name, seed):
    own, total = AGGREGATES[name]
    first, second, bytes_ = drawn(seed)
    found = paired_error(
        rows(first, own(first, bytes_), "m"),
        rows(second, own(second, bytes_), "m"),
        "m",
        float(total(first, bytes_)),
        float(total(second, bytes_)),
    )
    slow = jackknife(lambda kept: total(first[kept], bytes_[kept]) - total(second[kept], bytes_[kept]))
    assert found == pytest.approx(slow, rel=0.05)
    alone = [jackknife(lambda kept, ll=ll: total(ll[kept], bytes_[kept])) for ll in (first, second)]
    assert found < math.hypot(*alone) / 3  # what is hard for both cancels


def test_a_model_differs_from_itself_by_nothing():
    first, _, _ = drawn(0)
    assert paired_error(rows(first, first, "m"), rows(first, first, "m"), "m", first.mean(), first.mean()) == 0


def test_other_samples_are_not_paired():
    first, second, _ = drawn(0)
    a, b = rows(first, first, "m"), rows(second, second, "m")
    values = float(first.mean()), float(second.mean())
    assert paired_error(a, b, "m", *values) is not None
    assert paired_error(a, b[::-1], "m", *values) is None
    assert paired_error(a, [{**row, "target": "other"} for row in b], "m", *values) is None
    assert paired_error(a, b[:-1], "m", values[0], float(second[:-1].mean())) is None


def test_samples_that_do_not_add_up_to_the_score_are_not_paired():
    """A median, say; or another suite's samples under the same name."""
    first, second, _ = drawn(0)
    a, b = rows(first, first, "m"), rows(second, second, "m")
    assert paired_error(a, b, "m", float(np.median(first)), float(np.median(second))) is None
    assert paired_error(a, b, "unknown", float(first.mean()), float(second.mean())) is None


def test_filters_are_kept_apart():
    first, second, _ = drawn(0)
    a = [*rows(first, first, "m", "strict"), *rows(first * 2, first * 2, "m", "loose")]
    b = [*rows(second, second, "m", "strict"), *rows(second * 2, second * 2, "m", "loose")]
    strict = paired_error(a, b, "m,strict", float(first.mean()), float(second.mean()))
    loose = paired_error(a, b, "m,loose", float(first.mean() * 2), float(second.mean() * 2))
    assert loose == pytest.approx(2 * strict)
    assert paired_error(a, b, "m", float(first.mean()), float(second.mean())) is None
