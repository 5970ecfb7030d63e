"""The log-probabilities of answers under a frozen parent: computed once, for what is seen, and found again."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import config, job, run_dir, trained, write_text

from harness.config import plugin_config
from harness.files import cache_folder
from harness.interfaces.batch import ANSWER, CONTEXT, Sequences
from harness.rundir import RunDir
from harness.schema import DataConfig
from harness.training import reference as of_module
from harness.training.held_out import examined
from harness.training.interrupt import Interrupted
from harness.training.job import Parent, TrainingJob
from harness.training.parents import setting
from harness.training.train import load_model
from tests.preferences import Tastes

LENGTH = 64


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def parent(tmp_path: Path) -> Parent:
    of = config(write_text(tmp_path / "text", documents=8))
    run = run_dir(tmp_path / "parent", of)
    trained(job(of, 2), run)
    return Parent(run.path, 2, "parent@2")


def aligned(parent: Parent, steps: int = 100, **changes: Any) -> TrainingJob:
    """A run on the test's 60 pairs, of which 100 steps see all."""
    method = plugin_config("method", {"name": "dpo", **changes.pop("method", {})}, "method")
    data = DataConfig(sequence_length=LENGTH, batch_size=4, held_out=0.2)
    of = replace(config(parent.path, **changes), corpus=Tastes(name="tastes"), data=data, method=method)
    return replace(job(of, steps), parents={"init": parent, "reference": parent})


def known(of: TrainingJob, told: Any = lambda done, total: None) -> Any:
    found = setting(of, told)
    assert found.log_probabilities is not None
    return found.log_probabilities("reference")


def made() -> list[Path]:
    return sorted((cache_folder() / "log_probabilities").glob("[!.]*[!k]/"))


@pytest.fixture
def computations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs each computation was for."""
    found: list[int] = []
    plain = of_module._computed

    def computed(job: Any, model: Any, blocks: Any, pairs: int, progress: Any) -> Any:
        found.append(pairs)
        return plain(job, model, blocks, pairs, progress)

    monkeypatch.setattr(of_module, "_computed", computed)
    return found


@torch.no_grad()
def slowly(model: Any, sequences: Sequences) -> list[list[float]]:
    """Of each answer alone, one token at a time from its own prefix."""
    assert sequences.parts_BS is not None
    found = []
    for tokens_S, parts_S in zip(sequences.tokens_BS, sequences.parts_BS, strict=True):
        of_pair = []
        for answer in (0, 1):
            kept_S = (parts_S == CONTEXT) | (parts_S == ANSWER + answer)
            tokens, parts = torch.from_numpy(tokens_S[kept_S]), parts_S[kept_S]
            logits_TV = [model.logits(tokens[None, :t])[0, -1].double() for t in range(1, len(tokens))]
            of_tokens = [float(torch.log_softmax(at_V, 0)[tokens[t + 1]]) for t, at_V in enumerate(logits_TV)]
            of_pair.append(math.fsum(p for p, part in zip(of_tokens, parts[1:], strict=True) if part != CONTEXT))
        found.append(of_pair)
    return found


def test_they_are_those_of_each_answer_alone_for_what_is_learned_and_what_is_judged_by(parent: Parent):
    of = aligned(parent)
    model, lookup = load_model(RunDir(parent.path))[0], known(of)
    for sequences in (of.dataset.stream(0).sequences(3, 9), examined(of).rows(slice(0, 5))):
        found_BA = lookup(sequences.sources_B, sequences.numbers_B)
        assert found_BA.dtype == np.float64
        np.testing.assert_allclose(found_BA, slowly(model, sequences), rtol=1e-5)


def test_runs_that_ask_the_same_compute_once(parent: Parent, computations: list[int]):
    """Whatever else they differ in, and however their work is cut up."""
    before = known(aligned(parent))
    for other in (
        aligned(parent, method={"beta": 0.5}),
        aligned(parent, optimizer={"lr": 0.5}, seed=3),
        aligned(parent, trainer={"micro_batch": 1}),
        aligned(parent, method={"logits_chunk": 8}),
        aligned(parent, steps=200),
    ):
        again = known(other)
        assert np.array_equal(again.logp_NA, before.logp_NA)
    assert isinstance(before.logp_NA, np.memmap)
    assert computations == [60]


def test_what_changes_them_is_computed_anew(parent: Parent, tmp_path: Path, computations: list[int]):
    known(aligned(parent))
    again = RunDir(tmp_path / "other")
    trained(job(config(tmp_path / "text", optimizer={"lr": 0.02}), 2), run_dir(again.path, config(tmp_path / "text")))
    same_name = Parent(again.path, 2, parent.identity)
    for other in (
        aligned(same_name),
        aligned(parent, trainer={"precision": "bf16"}),
        aligned(parent, trainer={"threads": 2}),
    ):
        known(other)
    assert len(computations) == len(made()) == 4


def test_only_pairs_that_the_run_sees_are_asked(parent: Parent, computations: list[int]):
    of = aligned(parent, steps=3)
    held_out = len(examined(of).places_B)
    lookup = known(of)
    assert computations == [12 + held_out]
    seen = of.dataset.stream(0).sequences(0, 12)
    assert lookup(seen.sources_B, seen.numbers_B).shape == (12, 2)
    other = known(aligned(parent, steps=3, seed=1))
    assert computations == [12 + held_out] * 2, "another seed sees others"
    assert not np.array_equal(lookup.pairs_N, other.pairs_N)


@pytest.mark.parametrize("changes", [{"watch": {"on_spike": "skip"}}], ids=str)
def test_a_run_that_may_leave_steps_out_may_see_any_pair(changes: Any, parent: Parent, computations: list[int]):
    known(aligned(parent, steps=3, **changes))
    assert computations == [60]


def test_a_damaged_cache_is_made_anew(parent: Parent, computations: list[int]):
    before = np.array(known(aligned(parent)).logp_NA)
    (folder,) = made()
    with open(folder / "log_probabilities.npy", "r+b") as file:
        file.seek(-3, 2)
        file.write(b"abc")
    assert np.array_equal(known(aligned(parent)).logp_NA, before)
    assert computations == [60, 60]


def test_it_is_told_how_far_it_is_and_can_be_interrupted(parent: Parent):
    """What was interrupted leaves nothing that is taken for whole."""

    def interrupted(done: int, total: int) -> None:
        if done > 20:
            raise Interrupted("SIGTERM was received")

    with pytest.raises(Interrupted):
        known(aligned(parent), interrupted)
    assert made() == []
    told: list[tuple[int, int]] = []
    known(aligned(parent), lambda done, total: told.append((done, total)))
    assert told[0] == (0, 60)
    assert told[-1] == (60, 60)
    assert told == sorted(told)


def test_their_model_is_as_precise_as_the_policy(parent: Parent):
    rough, fine = (known(aligned(parent, trainer={"precision": p})).logp_NA for p in ("bf16-true", "fp32"))
    assert not np.array_equal(rough, fine)
    np.testing.assert_allclose(rough, fine, rtol=0.03)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("wanted", [False, True])
def test_they_are_computed_in_the_deterministic_mode_of_the_run(
    wanted: bool, before: bool, parent: Parent, monkeypatch: pytest.MonkeyPatch
):
    """On CUDA sums have no order without it, and a cache would hold another run's chance."""
    modes, plain = set(), of_module._of_rows

    def of_rows(*given: Any) -> Any:
        modes.add(torch.are_deterministic_algorithms_enabled())
        return plain(*given)

    monkeypatch.setattr(of_module, "_of_rows", of_rows)
    of = aligned(parent, trainer={"deterministic": wanted})
    mode = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before)
    try:
        known(of)
        assert modes == {wanted}
        assert torch.are_deterministic_algorithms_enabled() is before
    finally:
        torch.use_deterministic_algorithms(mode)
