"""The held-out loss and its error."""

import random
import statistics
from pathlib import Path

import pytest
from small_runs import config, job

from harness.training import held_out
from harness.training.fit import build_loop
from harness.training.held_out import evaluate, ratio


def test_the_loss_is_all_nats_over_all_tokens_whatever_the_clusters():
    loss, _ = ratio([[6.0], [1.0]], [[2.0], [4.0]])
    assert loss == pytest.approx(7 / 6)


def test_with_equal_clusters_the_error_is_that_of_a_mean():
    losses = [1.0, 2.0, 4.0, 3.5]
    _, error = ratio([[10 * loss] for loss in losses], [[10.0]] * 4)
    assert error == pytest.approx(statistics.stdev(losses) / 2)


def test_one_cluster_has_no_error():
    assert ratio([[3.0]], [[2.0]]) == (1.5, None)


def test_the_error_is_the_spread_of_the_loss_over_many_draws():
    rng = random.Random(0)

    def draw() -> tuple[float, float]:
        counts = [[float(rng.randint(1, 20))] for _ in range(60)]
        sums = [[count * rng.gauss(3, 1)] for (count,) in counts]
        loss, error = ratio(sums, counts)
        assert error is not None
        return loss, error

    losses, errors = zip(*(draw() for _ in range(400)), strict=True)
    assert statistics.mean(errors) == pytest.approx(statistics.stdev(losses), rel=0.12)


def test_it_does_not_depend_on_the_runs_seed_and_makes_no_gradient(text: Path):
    first = build_loop(job(config(text), steps=1))
    found = [evaluate(first.model, first.method, job(config(text, seed=s), steps=1), lambda: None) for s in (0, 7)]
    assert found[0] == found[1]
    assert found[0]["held_out_tokens"] > 100
    assert found[0]["held_out_loss"] == pytest.approx(5.55, abs=0.1), "an untrained model knows nothing: ln 257"
    assert all(parameter.grad is None for parameter in first.model.parameters())


def test_without_held_out_sequences_it_is_null(text: Path):
    small = job(config(text, data={"held_out": 0.0}), steps=1)
    loop = build_loop(small)
    found = evaluate(loop.model, loop.method, small, lambda: None)
    assert found == {"held_out_loss": None, "held_out_stderr": None, "held_out_tokens": 0}


def test_a_run_is_judged_by_one_sequence_at_least(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """However long it is, or however much is generated from it."""
    monkeypatch.setattr(held_out, "TOKENS", 1)
    (tmp_path / "text.txt").write_text("some text to be held out " * 40)
    for n in range(30):
        (tmp_path / f"{n}.txt").write_text(f"document {n} " * 60)
    of = job(config(tmp_path), 2)
    assert len(held_out.examined(of).places_B) == 1
