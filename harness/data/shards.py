"""Documents as memory-mapped tokens, with an index: made once by several processes, never trusted unchecked.

::

    <cache>/shards/<key>/
      shards.json                 dtype, and for each side its shards: file, tokens, documents, bytes of text
      train-00000.tokens          the documents' tokens, each document followed by the end token; or those of examples
      train-00000.documents.npy   int64, shape (documents, 2): where its last token stands, its number in the corpus
      train-00000.parts           of examples: the part of each token, uint8; the table then has a third column, the
                                  tokens of its prompt with the longest answer
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import cached_folder, digest, made_by
from harness.data.examples import Renderer, longest
from harness.data.split import is_held_out
from harness.errors import RunFailed, UserError
from harness.files import read_json, write_json
from harness.interfaces.corpus import Corpus, CorpusConfig, Document
from harness.interfaces.tokenizer import Tokenizer

SIDES = ("train", "held_out")
MOST_PROCESSES = 8

Progress = Callable[[int, int], None]
#: Documents to the tokens of each, and of examples the part of each token.
Encode = Callable[[Sequence[Any]], list[tuple[np.ndarray, np.ndarray | None]]]


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a source, training or held-out, as one long row of tokens.

    tokens: how many. text_bytes: bytes of UTF-8 they stand for. end_places_D: where each document's end token, an
    example's last token, stands. numbers_D: each document's number in the corpus. longest_D: of examples, the tokens of
    the prompt with the longest answer.
    """

    tokens: int
    text_bytes: int
    end_places_D: np.ndarray
    numbers_D: np.ndarray
    _shards: tuple[np.ndarray, ...]
    _starts: list[int]
    _files: tuple[Path, ...] = ()  #: of the shards, where they are mapped
    longest_D: np.ndarray | None = None
    _parts: tuple[np.ndarray, ...] = ()
    _parts_files: tuple[Path, ...] = ()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens start … stop − 1, int64, from one shard or across several. Raises RunFailed where a shard's file has
        been cut short since it was opened."""
        return self._read(self._shards, self._files, start, stop).astype(np.int64)

    def parts(self, start: int, stop: int) -> np.ndarray:
        """Of an example's tokens, uint8, as `harness.interfaces.batch` has them."""
        return self._read(self._parts, self._parts_files, start, stop)

    def _read(self, shards: Sequence[np.ndarray], files: Sequence[Path], start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= self.tokens
        first, last = (bisect.bisect_right(self._starts, place) - 1 for place in (start, stop - 1))
        parts = []
        for number in range(first, last + 1):
            if files:
                _check_length(files[number], shards[number].nbytes)
            begin = self._starts[number]
            parts.append(shards[number][max(0, start - begin) : stop - begin])
        return parts[0] if first == last else np.concatenate(parts)

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
    corpus: CorpusConfig,
    tokenizer: Tokenizer,
    tokenizer_key: str,
    held_out: float,
    progress: Progress,
    template: str | None = None,
) -> Shards:
    """The shards of one source, from the cache where they are whole.

    template: how examples are written out; None: the corpus holds documents. progress(done, total), in documents, is
    called while they are made. Raises UserError where the corpus cannot be read, is empty, or changes while it is read;
    RunFailed where a process is killed.
    """
    fingerprint = corpus.fingerprint()
    determined = {"made": made_by(corpus), "corpus": fingerprint, "tokenizer": tokenizer_key, "held_out": held_out}
    key = digest({**determined, "template": template} if template else determined)

    def fill(folder: Path) -> None:
        write(folder, corpus.build(), tokenizer, held_out, progress, template=template)
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
    of_examples = bool(tables) and tables[0].shape[1] == 3
    parts = [folder / f"{e['file']}.parts" for e in entries] if of_examples else []
    empty = np.zeros(0, dtype=np.int64)
    return Side(
        tokens=int(starts[-1]),
        text_bytes=sum(entry["bytes"] for entry in entries),
        end_places_D=np.concatenate([empty, *ends]),
        numbers_D=np.concatenate([empty, *(table[:, 1] for table in tables)]),
        _shards=tuple(np.asarray(np.memmap(folder / f"{e['file']}.tokens", dtype=dtype, mode="r")) for e in entries),
        _starts=starts[:-1].tolist(),
        _files=tuple(folder / f"{e['file']}.tokens" for e in entries),
        longest_D=np.concatenate([table[:, 2] for table in tables]) if of_examples else None,
        _parts=tuple(np.asarray(np.memmap(file, dtype=np.uint8, mode="r")) for file in parts),
        _parts_files=tuple(parts),
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
    template: str | None = None,
) -> None:
    """Fills a folder with the shards of all documents, or examples: the same files for any number of processes."""
    dtype = "<u2" if tokenizer.size <= 2**16 else "<u4"
    blocks = _blocks(len(corpus))
    work = functools.partial(_write_block, folder, corpus, _encoder(tokenizer, template), held_out, dtype)
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
    folder: Path, corpus: Corpus, encode: Encode, held_out: float, dtype: str, block: range
) -> dict[str, dict[str, Any]]:
    """Writes one shard of each side that has documents in the block; what the index says of them."""
    sides: dict[str, list[tuple[int, Document]]] = {side: [] for side in SIDES}
    for number, document in zip(block, corpus.read(block.start, block.stop), strict=True):
        if document.text:
            sides["held_out" if is_held_out(document.origin, held_out) else "train"].append((number, document))
    entries = {}
    for side, chosen in sides.items():
        if chosen:
            name = f"{side}-{block.start:08d}"
            entries[side] = {"file": name, **_write_shard(folder / name, chosen, encode, dtype)}
    return entries


def _encoder(tokenizer: Tokenizer, template: str | None) -> Encode:
    if template is None:
        return lambda documents: [
            (np.array([*tokens, tokenizer.end]), None) for tokens in tokenizer.encode_all([d.text for d in documents])
        ]
    return Renderer(tokenizer, template)


def _write_shard(path: Path, chosen: list[tuple[int, Any]], encode: Encode, dtype: str) -> dict[str, int]:
    encoded = encode([document for _, document in chosen])
    ends = np.cumsum([len(tokens) for tokens, _ in encoded]) - 1
    columns = [ends, np.array([number for number, _ in chosen])]
    parts = [of_one for _, of_one in encoded if of_one is not None]
    np.concatenate([tokens for tokens, _ in encoded]).astype(dtype).tofile(path.with_name(f"{path.name}.tokens"))
    if parts:
        np.concatenate(parts).tofile(path.with_name(f"{path.name}.parts"))
        columns.append(np.array([longest(of_one) for of_one in parts]))
    np.save(path.with_name(f"{path.name}.documents.npy"), np.stack(columns, axis=1).astype(np.int64))
    size = sum(len(document.text.encode()) for _, document in chosen)
    return {"tokens": int(ends[-1]) + 1, "documents": len(encoded), "bytes": size}


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
