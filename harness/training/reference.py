"""What a frozen parent makes of preferences: computed once for all runs that ask for the same, and mapped.

::

    <cache>/log_probabilities/<key>/
      pairs.npy               int64, ascending: source · 2⁴⁸ + number in the source's corpus
      log_probabilities.npy   float64, shape (pairs, answers), in nats
      checksums.json
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.data.cache import cached_folder, digest
from harness.data.curriculum import stages
from harness.data.pairs import ANSWERS, answered
from harness.data.stream import Stream
from harness.files import CHECKSUMS, read_json
from harness.interfaces.batch import PADDING, Sequences
from harness.interfaces.visibility import Causal, Visibility
from harness.models.log_probabilities import log_probabilities
from harness.rundir import RunDir
from harness.sources import source_digest
from harness.training.fingerprint import fingerprint
from harness.training.held_out import examined
from harness.training.job import Parent, TrainingJob

#: Called with how many pairs are done, and how many there are.
Progress = Callable[[int, int], None]

#: Pairs in one forward pass, and pairs that are read at once, of which those of one length stand together.
ROWS, BLOCK = 8, 512

#: Of the numerics fingerprint, what a run's own work is cut up by: the reference's is not.
CUTS = {
    "world_size",
    "strategy",
    "tensor_parallel",
    "micro_batch",
    "compile",
    "activation_checkpointing",
    "logits_chunk",
}


@dataclass(frozen=True)
class Known:
    """The log-probabilities of the answers of some pairs. pairs_N: their keys, ascending."""

    pairs_N: np.ndarray
    logp_NA: np.ndarray

    def __call__(self, sources_B: np.ndarray, numbers_B: np.ndarray) -> np.ndarray:
        """logp_BA, float64, in nats."""
        wanted_B = _keys(sources_B, numbers_B)
        at_B = np.searchsorted(self.pairs_N, wanted_B)
        assert np.array_equal(self.pairs_N[at_B], wanted_B)
        return self.logp_NA[at_B]


def reference(job: TrainingJob, parent: Parent, frozen: Callable[[], Any], progress: Progress) -> Known:
    """Looks up, for the pairs that a run may see and those that it is judged by, the log-probabilities of their
    answers under a parent. They are computed where the cache has them not, whole: by one process, the others wait.

    frozen: the parent's model, asked for only then. Raises UserError where the cache cannot be written.
    """
    stream = job.dataset.stream(job.seeds[1], stages(job.config.data, job.steps))
    cells = _cells(job, stream)
    held_out = examined(job)

    def fill(folder: Path) -> None:
        pairs = sum(map(len, cells)) + len(held_out.places_B)
        known = _computed(job, frozen(), _blocks(stream, cells, held_out), pairs, progress)
        np.save(folder / "pairs.npy", known.pairs_N)
        np.save(folder / "log_probabilities.npy", known.logp_NA)

    which = digest([[of_source.tolist() for of_source in cells], len(held_out.places_B)])
    folder = cached_folder("log_probabilities", _key(job, parent, which), fill)
    pairs_N, logp_NA = (
        np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("pairs", "log_probabilities")
    )
    return Known(pairs_N, logp_NA)


def _key(job: TrainingJob, parent: Parent, which: str) -> str:
    """A hash of all that the bits depend on."""
    data, numerics = job.config.data, fingerprint(job.config)
    plugin = type(job.config.architecture).__module__
    return digest(
        {
            "made": source_digest(("data", "models"), (plugin,)),
            "parent": [parent.identity, _content(parent)],
            "data": [job.dataset.fingerprint, data.template, *dataclasses.astuple(job.dataset.cut), which],
            "numerics": {name: value for name, value in numerics.items() if name not in CUTS},
        }
    )


def _content(parent: Parent) -> dict[str, str]:
    """The checksums of a checkpoint's files but those of its training; a folder's stand in its identity."""
    if parent.step is None:
        return {}
    sums = read_json(RunDir(parent.path).checkpoint(parent.step) / CHECKSUMS)
    return {name: of_file for name, of_file in sums.items() if not name.startswith(("optimizer", "trainer"))}


def _keys(sources_B: np.ndarray, numbers_B: np.ndarray) -> np.ndarray:
    keys_B: np.ndarray = (sources_B.astype(np.int64) << 48) + numbers_B
    return keys_B


# ---------------------------------------------------------------------------------------- which pairs


def _cells(job: TrainingJob, stream: Stream) -> list[np.ndarray]:
    """Of each source the cells that stand at the places of the run, ascending: all of them where it goes through them
    once, or may leave steps out and go beyond its own."""
    config, places = job.config, stream.all_shown()
    may_leave_out = config.watch.on_spike != "record" or config.trainer.precision == "fp16"
    if not may_leave_out and "continue" not in job.parents:
        places = min(places, job.steps * config.data.batch_size)
    seen = [np.zeros(size, dtype=bool) for size in stream.sizes]
    for start in range(0, places, 2**16):
        source_N, _, cell_N = stream.locate(np.arange(start, min(places, start + 2**16)))
        for source, of_source in enumerate(seen):
            of_source[cell_N[source_N == source]] = True
    return [np.flatnonzero(of_source) for of_source in seen]


def _blocks(stream: Stream, cells: list[np.ndarray], held_out: Sequences) -> Iterator[Sequences]:
    for source, of_source in enumerate(cells):
        for start in range(0, len(of_source), BLOCK):
            chosen_N = of_source[start : start + BLOCK]
            block = stream.cells[source].read(chosen_N, np.zeros_like(chosen_N))
            block.sources_B = np.full_like(chosen_N, source)
            yield block
    if len(held_out.places_B):
        yield held_out


# --------------------------------------------------------------------------------------- what they are


def _computed(job: TrainingJob, model: Any, blocks: Iterator[Sequences], pairs: int, progress: Progress) -> Known:
    found: list[tuple[np.ndarray, np.ndarray]] = []
    done, length = 0, job.config.data.sequence_length
    trainer = job.config.trainer
    with torch.no_grad(), _precision(trainer.precision, model), _deterministic(trainer.deterministic):
        for block in blocks:
            assert block.parts_BS is not None
            order_B = np.argsort((block.parts_BS != PADDING).sum(axis=1), kind="stable")
            for start in range(0, len(order_B), ROWS):
                rows = block.rows(order_B[start : start + ROWS])
                assert rows.sources_B is not None
                assert rows.numbers_B is not None
                progress(done, pairs)
                found.append((_keys(rows.sources_B, rows.numbers_B), _of_rows(model, rows, length)))
                done += len(found[-1][0])
    progress(done, pairs)
    pairs_N, logp_NA = (np.concatenate(column) for column in zip(*found, strict=True))
    order_N = np.argsort(pairs_N)
    return Known(pairs_N[order_N], logp_NA[order_N])


def _precision(precision: str, model: Any) -> AbstractContextManager[Any]:
    """As the policy is computed in."""
    if precision == "bf16-true":
        model.bfloat16()
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return nullcontext() if half is None else torch.autocast(model.device.type, half)


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """As the run itself, which has not begun: CUDA adds up in any order else."""
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


def _of_rows(model: Any, sequences: Sequences, sequence_length: int) -> np.ndarray:
    """logp_BA of some pairs."""
    rows = answered(sequences, sequence_length, shift=1)
    tokens_RS = torch.from_numpy(rows.tokens_RS).to(model.device)
    counts_RT = torch.from_numpy(rows.is_answer_RS[:, 1:]).to(model.device)
    hidden_RTC = model.body(tokens_RS[:, :-1], visibility=Visibility((Causal(),))).hidden_BTC
    logp_R = log_probabilities(model.heads["language_model"], hidden_RTC, tokens_RS[:, 1:], counts_RT)
    return logp_R.cpu().numpy().reshape(ANSWERS, -1).T
