"""A data set's documents or examples, written to the cache once as JSONL.

Parquet, streams and the Hub cannot be read in any place again and again, so all sources go the same way. The folder
in the cache is whole or not there. Its key is the content of a local source; for the Hub the name and revision that
were asked for, so that what was fetched once serves where no network is.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.cache import cached_folder, digest
from harness.data.rows import detect, parse
from harness.errors import UserError, suggest
from harness.files import checksum

if TYPE_CHECKING:
    from harness_plugins.corpus.hf import HuggingFace

#: Seconds within which the Hub has to answer.
PATIENCE = 5.0
#: What `datasets` may call a data set of the Hub.
NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")

_made: dict[str, Path] = {}


def ingested(config: HuggingFace) -> Path:
    """The JSONL file with the documents in the field `text`, or with examples as they are. Raises UserError where they
    cannot be had."""
    local = Path(config.path).expanduser()
    source = _content(local) if local.exists() else [config.path, config.revision]
    wanted = [config.config, config.split, config.field, config.documents, config.bytes]
    wanted += [] if config.format == "text" else [config.format]
    key = digest([config.results_version, source, wanted])
    if key not in _made:  # looked through once in a process
        _made[key] = cached_folder("documents", key, lambda folder: _write(config, folder)) / "documents.jsonl"
    return _made[key]


def _content(path: Path) -> list[list[str]]:
    """Names and checksums of a local data set's files."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    try:
        return [[file.relative_to(path.parent).as_posix(), _checksum(file, *_looks(file))] for file in files]
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}.") from None


def _looks(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


@functools.cache
def _checksum(file: Path, size: int, mtime_ns: int) -> str:
    """Remembered within this process for as long as the file looks the same."""
    return checksum(file)


# ----------------------------------------------------------------------------------------- writing


def _write(config: HuggingFace, folder: Path) -> None:
    said, size = time.monotonic(), 0
    with _quiet(), open(folder / "documents.jsonl", "w", encoding="utf-8") as file:
        for number, line in enumerate(_lines(config)):
            file.write(line + "\n")
            size += len(line)
            if time.monotonic() - said > 5:
                said = time.monotonic()
                print(f"corpus hf: {number + 1:,} rows, {size / 1e6:,.0f} M letters so far", file=sys.stderr)


def _lines(config: HuggingFace) -> Iterator[str]:
    """The documents or examples within the bounds, as JSON. Whatever `datasets` raises becomes a UserError."""
    size, format = 0, config.format
    try:
        for number, row in enumerate(itertools.islice(_rows(config), config.documents)):
            where = f"corpus.path={config.path}, row {number} of {config.split}"
            if format == "text":
                text = _text(config, row, where)
                line = json.dumps({"text": text}, ensure_ascii=False)
            else:
                format = detect(row, where) if format == "auto" else format
                text = parse(row, format, where, "").text
                line = json.dumps(row, ensure_ascii=False, default=str)
            yield line
            size += len(text.encode())
            if config.bytes is not None and size >= config.bytes:
                return
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(f"corpus.path={config.path}: `datasets` cannot read it ({reason[:500]}).") from error


def _text(config: HuggingFace, row: Mapping[str, Any], where: str) -> str:
    if config.field not in row:
        raise UserError(f"{where}: no field {config.field}. {suggest(config.field, row)} corpus.field names it.")
    value = row[config.field]
    if value is not None and not isinstance(value, str):
        raise UserError(f"{where}: field {config.field} is {type(value).__name__}, not text.")
    return value or ""


# ----------------------------------------------------------------------------------------- reading


def _rows(config: HuggingFace) -> Iterable[Mapping[str, Any]]:
    from datasets import load_dataset

    path = Path(config.path).expanduser()
    if any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        found = _saved(config, path)
    elif path.is_file():
        found = load_dataset(str(path.parent), data_files=path.name, split="train", streaming=True)
    else:
        where = str(path) if path.exists() else config.path
        revision = None if path.exists() else _commit(config)
        found = load_dataset(where, config.config, split=config.split, revision=revision, streaming=True)
    # Other columns are not even read, where the format allows it.
    alone = config.format == "text" and config.field in (found.column_names or ())
    return found.select_columns([config.field]) if alone else found


def _saved(config: HuggingFace, path: Path) -> Any:
    """What save_to_disk wrote: a split, or several by name."""
    from datasets import DatasetDict, load_from_disk

    found = load_from_disk(str(path))
    if not isinstance(found, DatasetDict):
        return found
    if config.split not in found:
        raise UserError(f"corpus.path={config.path} has no split {config.split}. {suggest(config.split, found)}")
    return found[config.split]


def _commit(config: HuggingFace) -> str:
    """The commit on the Hub, asked once and without trying again: who has no network hears so at once."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if not NAME.fullmatch(config.path):
        raise UserError(f"corpus.path={config.path}: there is no such folder or file, and no such name on the Hub.")
    try:
        return str(HfApi().dataset_info(config.path, revision=config.revision, timeout=PATIENCE).sha)
    except GatedRepoError:
        raise UserError(f"corpus.path={config.path}: its owner grants access. Ask, then `hf auth login`.") from None
    except RepositoryNotFoundError:
        raise UserError(
            f"corpus.path={config.path}: there is no such folder here and no such data set on the Hub "
            "(a private one needs `hf auth login`)."
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"corpus.path={config.path} has no revision {config.revision} on the Hub.") from None
    except Exception as error:  # the network's, of whatever library carries it
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(
            f"corpus.path={config.path}: there is no such folder here, and the Hub is out of reach ({reason[:300]}). "
            "Give a local folder instead, as corpus.path=<folder>: one that save_to_disk wrote, or with the data set's "
            "parquet, JSONL or Arrow files."
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's own bars and remarks: what goes wrong is told once, in one paragraph."""
    from datasets.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)
