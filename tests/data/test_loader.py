"""The loader: the same stream for any number of workers, ranks and restarts."""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch

from harness.config import ConfigError
from harness.data import loader as loaders
from harness.data.dataset import prepare
from harness.data.loader import ENDLESS, MOST_AHEAD, Rows, loader
from harness.data.stream import Stream
from harness.interfaces.batch import Batch
from tests.data.corpora import rows_file, run_config, some_texts


class Noisy:
    """A method whose batches show its random choices."""

    def prepare(self, sequences, randomness) -> Batch:
        tokens = torch.from_numpy(sequences.tokens_BS)
        noise = torch.tensor([randomness(int(place)).random() for place in sequences.places_B])
        places = torch.from_numpy(sequences.places_B)
        return Batch(tokens[:, :-1], tokens[:, 1:], torch.ones(tokens[:, 1:].shape), places, extra={"noise": noise})


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    corpus = rows_file(tmp_path / "rows.jsonl", some_texts(300))
    return prepare(run_config(corpus, sequence_length=16)).stream(seed=5)


def rows_of(batches: list[Batch]) -> list[tuple]:
    columns = [[*b.inputs_BT.tolist()] for b in batches], [b.places_B.tolist() for b in batches]
    noise = [b.extra["noise"].tolist() for b in batches]
    return [row for group in zip(*columns, noise, strict=True) for row in zip(*group, strict=True)]


def steps(stream: Stream, count: int, **options) -> list[list[Batch]]:
    rows = Rows(8, **{key: value for key, value in options.items() if key not in ("first_step", "workers")})
    rest = {key: value for key, value in options.items() if key in ("first_step", "workers")}
    return list(islice(loader(stream, Noisy(), rows, **rest), count))


def digest(steps: list[list[Batch]]) -> str:
    return hashlib.sha256(repr([rows_of(step) for step in steps]).encode()).hexdigest()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 4])
def test_the_stream_is_the_same_for_any_number_of_workers(stream: Stream, workers: int) -> None:
    assert digest(steps(stream, 20, workers=workers)) == digest(steps(stream, 20))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """Two sources of different length, one of which begins again within 50 steps."""
    folder = tmp_path_factory.mktemp("mixed")
    sources = {
        "long": {**rows_file(folder / "long.jsonl", some_texts(300)), "weight": 0.7},
        "short": {**rows_file(folder / "short.jsonl", some_texts(15)), "weight": 0.3},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield prepare(run_config({"name": "mix", "sources": sources}, sequence_length=16)).stream(seed=5)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(
    "workers", [0, pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow), 4]
)
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_fifty_steps_are_one_stream_for_any_number_of_processes_workers_and_micro_batches(
    mixed: Stream, processes: int, workers: int
) -> None:
    """Each rank in a process of its own. `pytest -rP -k fifty_steps` prints the hash: of every row's tokens, place and
    chance, in the order of the places."""
    assert mixed.first_repeat() < 50 * 8
    alone = hashlib.sha256(repr(_one_by_one(mixed, 50 * 8)).encode()).hexdigest()
    for micro_batch in (None, 1, 3):
        ranks = in_processes(processes, partial(_ranks_rows, mixed, workers, micro_batch, processes))
        rows = [row for step in zip(*ranks, strict=True) for rank in step for row in rank]
        assert [place for _, place, _ in rows] == list(range(50 * 8))
        found = hashlib.sha256(repr(rows).encode()).hexdigest()
        print(f"{processes} processes, {workers} workers each, micro-batches of {micro_batch or 'all'}: {found}")
        assert found == alone


def _ranks_rows(stream: Stream, workers: int, micro_batch: int | None, processes: int, rank: int) -> list[list[tuple]]:
    options = {"workers": workers, "micro_batch": micro_batch, "rank": rank, "world_size": processes}
    return [rows_of(step) for step in steps(stream, 50, **options)]


def in_processes(count: int, work: Callable[[int], list]) -> list[list]:
    """What `work` returns for each rank, each in a forked process; the work itself need not be picklable."""
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    ranks = [
        context.Process(target=lambda rank=rank, end=end: end.send(work(rank))) for rank, (_, end) in enumerate(pipes)
    ]
    for rank in ranks:
        rank.start()
    found = [receiver.recv() for receiver, _ in pipes]
    for rank in ranks:
        rank.join()
    return found


def _one_by_one(stream: Stream, places: int) -> list[tuple]:
    """The slow way: each place asked for alone, without a loader."""
    return [
        row
        for place in range(places)
        for row in rows_of([Noisy().prepare(stream.sequences(place, 1), stream.randomness)])
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_is_seeking(stream: Stream, workers: int) -> None:
    whole = steps(stream, 20)
    assert digest(steps(stream, 7, first_step=13, workers=workers)) == digest(whole[13:])


@pytest.mark.parametrize(("micro_batch", "sizes"), [(None, [8]), (8, [8]), (100, [8]), (3, [3, 3, 2]), (1, [1] * 8)])
def test_micro_batches_are_the_batch_cut_up(stream: Stream, micro_batch: int | None, sizes: list[int]) -> None:
    whole, cut = steps(stream, 3), steps(stream, 3, micro_batch=micro_batch)
    assert [[len(batch.inputs_BT) for batch in step] for step in cut] == [sizes] * 3
    assert [rows_of(step) for step in cut] == [rows_of(step) for step in whole]


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_ranks_share_the_batch(stream: Stream, world_size: int) -> None:
    whole = steps(stream, 3)
    ranks = [steps(stream, 3, rank=rank, world_size=world_size, micro_batch=2) for rank in range(world_size)]
    for step in range(3):
        assert [row for rank in ranks for row in rows_of(rank[step])] == rows_of(whole[step])


def test_ranks_that_cannot_share_equally_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data.batch_size=8 cannot be shared equally by 3 devices"):
        Rows(8, world_size=3)


@pytest.mark.parametrize("workers", [0, 1])
def test_torchs_own_generator_is_left_alone(stream: Stream, workers: int) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    steps(stream, 3, workers=workers)
    assert (torch.get_rng_state() == before).all()


def test_the_length_is_the_same_wherever_it_begins(stream: Stream) -> None:
    assert [len(loader(stream, Noisy(), Rows(8), first, workers=2)) for first in (0, 1000)] == [ENDLESS, ENDLESS]


@pytest.mark.parametrize(("tokens", "ahead"), [(2**20, MOST_AHEAD), (3 * 8 * 16, 3), (1, 1)])
def test_without_workers_some_steps_are_prepared_at_a_time_fewer_where_they_are_large(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, tokens: int, ahead: int
) -> None:
    monkeypatch.setattr(loaders, "TOKENS_AHEAD", tokens)
    asked = []
    method = Noisy()
    method.prepare = lambda sequences, randomness: asked.append(int(sequences.places_B[0]))
    next(iter(loader(stream, method, Rows(8), first_step=5)))
    assert asked == [8 * (5 + step) for step in range(ahead)]


def test_no_step_is_prepared_beyond_the_planned_ones_before_it_is_asked_for(stream: Stream) -> None:
    asked = []
    method = Noisy()
    method.prepare = lambda sequences, randomness: asked.append(int(sequences.places_B[0]))
    batches = iter(loader(stream, method, Rows(8), first_step=5, planned=7))
    next(batches)
    assert asked == [8 * 5, 8 * 6]
    next(batches), next(batches)
    assert asked == [8 * 5, 8 * 6, 8 * 7]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_ends_no_worker(stream: Stream, number: int) -> None:
    before = set(multiprocessing.active_children())
    batches = iter(loader(stream, Noisy(), Rows(8), workers=2))
    first = [next(batches), next(batches)]  # both are past their first item, with their signals set
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker.pid, number)
    assert digest([*first, *islice(batches, 8)]) == digest(steps(stream, 10))
    del batches
    for worker in workers:
        worker.join(10)
        assert worker.exitcode == 0


def test_batches_take_no_room_in_shared_memory(stream: Stream) -> None:
    """It is small in containers, and a worker that finds it full would leave the training process waiting for ever."""
    tensors = [
        t for step in steps(stream, 3, workers=1) for b in step for t in (b.inputs_BT, b.places_B, *b.extra.values())
    ]
    assert not any(tensor.is_shared() for tensor in tensors)


def test_a_process_that_fails_ends_though_it_has_workers() -> None:
    """In a process of its own: the traceback holds on to the loader until the process is at its end."""
    code = """
import numpy, torch
from harness.data.loader import Rows, loader
from harness.interfaces.batch import Batch, Sequences

class Stream:
    randomness = None
    def sequences(self, first, rows):
        return Sequences(numpy.zeros((rows, 5), int), numpy.zeros((rows, 5), int), numpy.arange(rows))

class Method:
    def prepare(self, sequences, randomness):
        tokens = torch.from_numpy(sequences.tokens_BS)
        return Batch(tokens, tokens, torch.ones(tokens.shape), torch.from_numpy(sequences.places_B))

def failing(batches):
    next(batches)
    raise RuntimeError("out of luck")

failing(iter(loader(Stream(), Method(), Rows(2), workers=2)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "out of luck" in found.stderr
