"""The loader: the same stream for any number of workers, ranks and restarts."""

import hashlib
import multiprocessing
import os
import signal
from itertools import islice
from pathlib import Path

import pytest
import torch

from harness.config import ConfigError
from harness.data.dataset import prepare
from harness.data.loader import ENDLESS, Rows, loader
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
    assert [len(loader(stream, Noisy(), Rows(8), first)) for first in (0, 1000)] == [ENDLESS, ENDLESS]


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
