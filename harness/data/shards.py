"""Documents as memory-mapped tokens, with an index: made once by several processes, never trusted unchecked.

::

    <cache>/shards/<key>/
      shards.json                 dtype, and for each side its shards: file, tokens, documents, bytes of text
      train-00000.tokens          the documents' tokens, each document followed by the end token
      train-00000.documents.npy   int64, shape (documents, 2): where its end token stands, its number in the corpus
      held_out-00000.tokens …
      checksums.json

Where one shard ends and the next begins depends on the number of documents alone, so any number of
processes writes the same files.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import cached_folder, digest, made_by
from harness.data.split import is_held_out
from harness.errors import RunFailed, UserError
from harness.files import read_json, write_json
from harness.interfaces.corpus import Corpus, CorpusConfig, Document
from harness.interfaces.tokenizer import Tokenizer

SIDES = ("train", "held_out")
MOST_PROCESSES = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Side:
    """One side of a source, training or held-out, as one long row of tokens.

    tokens: how many. text_bytes: bytes of UTF-8 they stand for. end_places_D: where each document's end token
    stands. numbers_D: each document's number in the corpus.
    """

    tokens: int
    text_bytes: int
    end_places_D: np.ndarray
    numbers_D: np.ndarray
    _shards: tuple[np.ndarray, ...]
    _starts: list[int]
    _files: tuple[Path, ...] = ()  #: of the shards, where they are mapped

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens start … stop − 1, int64, from one shard or across several. Raises RunFailed where a shard's file has
        been cut short since it was opened."""
        assert 0 <= start < stop <= self.tokens
        first, last = (bisect.bisect_right(self._starts, place) - 1 for place in (start, stop - 1))
        parts = []
        for number in range(first, last + 1):
            if self._files:
                _check_length(self._files[number], self._shards[number].nbytes)
            begin = self._starts[number]
            parts.append(self._shards[number][max(0, start - begin) : stop - begin])
        return np.concatenate(parts, dtype=np.int64)

    def documents_at(self, places: np.ndarray) -> np.ndarray:
        """The document that each place attends in, counted from 0.

        An end token opens the next document, as it stands before an empty context: the last token of a document
        learns to end it, and the end token sees nothing of what it ended.
        """
        return np.searchsorted(self.end_places_D, places, side="right")


@dataclass(frozen=True)
class Shards:
    """Both sides of one source."""

    train: Side
    held_out: Side


def shards(
    corpus: CorpusConfig, tokenizer: Tokenizer, tokenizer_key: str, held_out: float, progress: Progress
) -> Shards:
    """The shards of one source, from the cache where they are whole.

    progress(done, total), in documents, is called while they are made. Raises UserError where the corpus cannot be
    read, is empty, or changes while it is read; RunFailed where a process is killed.
    """
    fingerprint = corpus.fingerprint()
    key = digest({"made": made_by(corpus), "corpus": fingerprint, "tokenizer": tokenizer_key, "held_out": held_out})

    def fill(folder: Path) -> None:
        write(folder, corpus.build(), tokenizer, held_out, progress)
        if corpus.fingerprint() != fingerprint:
            raise UserError(f"corpus {corpus.name} changed while it was read. Start again when it is at rest.")

    return open_shards(cached_folder("shards", key, fill))


def open_shards(folder: Path) -> Shards:
    index = read_json(folder / "shards.json")
    train, held_out = (_open_side(folder, index["dtype"], index[side]) for side in SIDES)
    return Shards(train, held_out)


def _open_side(folder: Path, dtype: str, entries: list[dict[str, Any]]) -> Side:
    lengths = [entry["tokens"] for entry in entries]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tables = [np.load(folder / f"{e['file']}.documents.npy", allow_pickle=False) for e in entries]
    ends = [table[:, 0] + start for table, start in zip(tables, starts.tolist(), strict=False)]
    empty = np.zeros(0, dtype=np.int64)
    return Side(
        tokens=int(starts[-1]),
        text_bytes=sum(entry["bytes"] for entry in entries),
        end_places_D=np.concatenate([empty, *ends]),
        numbers_D=np.concatenate([empty, *(table[:, 1] for table in tables)]),
        _shards=tuple(np.asarray(np.memmap(folder / f"{e['file']}.tokens", dtype=dtype, mode="r")) for e in entries),
        _starts=starts[:-1].tolist(),
        _files=tuple(folder / f"{e['file']}.tokens" for e in entries),
    )


def _check_length(file: Path, size: int) -> None:
    """Before its tokens are read: who reads a mapped file beyond its end is killed without a word. A file that was
    removed stays mapped."""
    with contextlib.suppress(FileNotFoundError):
        if os.stat(file).st_size < size:
            raise RunFailed(
                f"The shard {file} was cut short while it was read. Published checkpoints are kept; the same command "
                "makes the shards anew and goes on from the last."
            )


# -------------------------------------------------------------------------------------------- writing


def write(
    folder: Path,
    corpus: Corpus,
    tokenizer: Tokenizer,
    held_out: float,
    progress: Progress,
    processes: int | None = None,
) -> None:
    """Fills a folder with the shards of all documents. The files are the same for any number of processes."""
    dtype = "<u2" if tokenizer.size <= 2**16 else "<u4"
    blocks = _blocks(len(corpus))
    work = functools.partial(_write_block, folder, corpus, tokenizer, held_out, dtype)
    index: dict[str, Any] = {"dtype": dtype, **{side: [] for side in SIDES}}
    progress(0, len(corpus))
    for block, entries in zip(blocks, _in_processes(work, blocks, processes), strict=True):
        for side, entry in entries.items():
            index[side].append(entry)
        progress(block.stop, len(corpus))
    write_json(folder / "shards.json", index)


def _blocks(documents: int) -> list[range]:
    """The documents of each shard: about 32 shards of a small corpus, 16,384 documents in each of a large one."""
    size = min(max(1, -(-documents // 32)), 16384)
    return [range(start, min(start + size, documents)) for start in range(0, documents, size)]


def _write_block(
    folder: Path, corpus: Corpus, tokenizer: Tokenizer, held_out: float, dtype: str, block: range
) -> dict[str, dict[str, Any]]:
    """Writes one shard of each side that has documents in the block; what the index says of them."""
    sides: dict[str, list[tuple[int, Document]]] = {side: [] for side in SIDES}
    for number, document in zip(block, corpus.read(block.start, block.stop), strict=True):
        if document.text:
            sides["held_out" if is_held_out(document.text, held_out) else "train"].append((number, document))
    entries = {}
    for side, chosen in sides.items():
        if chosen:
            name = f"{side}-{block.start:08d}"
            numbers, texts = [number for number, _ in chosen], [document.text for _, document in chosen]
            entries[side] = {"file": name, **_write_shard(folder / name, numbers, texts, tokenizer, dtype)}
    return entries


def _write_shard(path: Path, numbers: list[int], texts: list[str], tokenizer: Tokenizer, dtype: str) -> dict[str, int]:
    rows = [np.array([*tokens, tokenizer.end], dtype=dtype) for tokens in tokenizer.encode_all(texts)]
    ends = np.cumsum([len(row) for row in rows]) - 1
    np.concatenate(rows).tofile(path.with_name(f"{path.name}.tokens"))
    np.save(path.with_name(f"{path.name}.documents.npy"), np.stack([ends, numbers], axis=1).astype(np.int64))
    return {"tokens": int(ends[-1]) + 1, "documents": len(rows), "bytes": sum(len(text.encode()) for text in texts)}


# ------------------------------------------------------------------------------------------ processes

_work: Callable[[range], Any]


def _in_processes(work: Callable[[range], Any], blocks: list[range], processes: int | None) -> Iterator[Any]:
    """``work(block)`` for each block, in order, by several forked processes where that helps and is allowed."""
    processes = min(processes or cores(), MOST_PROCESSES, len(blocks))
    if processes <= 1 or multiprocessing.current_process().daemon:
        yield from map(work, blocks)
        return
    try:
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(work,)) as pool:
            yield from pool.map(_run, blocks)
    except BrokenProcessPool:
        raise RunFailed("A process that tokenises was killed, perhaps for lack of memory. Start again.") from None


def cores() -> int:
    """Those that this process may use, where the system can say so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(work: Callable[[range], Any]) -> None:
    """Interrupts are the parent's to handle; a child ends with its parent, so that no lock outlives it."""
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run(block: range) -> Any:
    return _work(block)
