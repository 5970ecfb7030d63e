"""Documents in files: one a file, or one a row of a JSONL file; compressed ones by what they hold. So with examples."""

from __future__ import annotations

import bisect
import functools
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.cache import digest
from harness.data.packed import bare, is_packed, packed_checksum, unpacked
from harness.data.rows import detect, parse
from harness.errors import UserError, suggest
from harness.files import checksum
from harness.interfaces.corpus import Document, Example


def fingerprint(paths: Sequence[Path], field: str) -> str:
    """A hash of the files' content in order; their names, places and compression do not matter."""
    content = [(_is_jsonl(path), _checksum(path)) for path in paths]
    return digest({"files": content, "field": field if any(rows for rows, _ in content) else ""})


def examples_fingerprint(corpus: ExampleFiles) -> str:
    """A hash of the files' content in order and of what their rows are taken for."""
    return digest({"files": [_checksum(path) for path in corpus.paths], "format": corpus.format})


def read_text(path: Path, content: Path | None = None) -> str:
    """The whole file. content: where its text lies, if elsewhere. Raises UserError where it cannot be read or is no
    UTF-8."""
    try:
        return (content or path).read_bytes().decode()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text (byte {error.start}). Convert it, or leave it out of corpus.path."
        ) from None


class FileCorpus:
    """The documents of some files, in order.

    paths: the files; a `.jsonl` file holds one document in the `field` of each row, blank lines passed over,
    any other file is one document; `.gz` and `.zst` behind either ending are unpacked. root: what names are told from.
    """

    def __init__(self, paths: Sequence[Path], field: str = "text", root: Path | None = None) -> None:
        self.paths, self.field, self.root = list(paths), field, root
        self._content = {path: unpacked(path, _checksum(path)) if is_packed(path) else path for path in self.paths}
        self._rows = {path: _rows(self._content[path]) for path in self.paths if self.holds_rows(path)}
        sizes = (len(self._rows[path]) if path in self._rows else 1 for path in self.paths)
        self._starts = [0, *itertools.accumulate(sizes)]

    def __len__(self) -> int:
        return self._starts[-1]

    def holds_rows(self, path: Path) -> bool:
        return _is_jsonl(path)

    def of_row(self, line: bytes, where: str, name: str) -> Document:
        """where: file and line, for messages."""
        return Document(_field(line, self.field, where), name)

    def read(self, start: int, stop: int) -> Iterator[Any]:
        """Raises UserError, naming file and line, for what is no document."""
        file = bisect.bisect_right(self._starts, start) - 1
        while start < stop:
            first, end = self._starts[file], min(stop, self._starts[file + 1])
            yield from self._read_file(self.paths[file], start - first, end - first)
            start, file = end, file + 1

    def _read_file(self, path: Path, start: int, stop: int) -> Iterator[Document]:
        name = str(path.relative_to(self.root) if self.root and path.is_relative_to(self.root) else path)
        if path not in self._rows:
            yield Document(read_text(path, self._content[path]), name)
            return
        with open(self._content[path], "rb") as file:
            for line, offset in self._rows[path][start:stop]:
                file.seek(offset)
                yield self.of_row(file.readline(), f"{path}, line {line}", f"{name}:{line}")


class ExampleFiles(FileCorpus):
    """The examples of some JSONL files, in order, one a row.

    format: one of `harness.data.rows.FORMATS`, or auto: the one of which the first row has the fields.
    """

    def __init__(self, paths: Sequence[Path], format: str, root: Path | None = None) -> None:
        super().__init__(paths, root=root)
        self.format = self._detected() if format == "auto" else format

    def holds_rows(self, path: Path) -> bool:
        return True

    def of_row(self, line: bytes, where: str, name: str) -> Example:
        return parse(_object(line, where), self.format, where, name)

    def _detected(self) -> str:
        path = next((path for path in self.paths if len(self._rows[path])), None)
        if path is None:
            raise UserError(f"{', '.join(map(str, self.paths))}: no row. Every line of a .jsonl file is one example.")
        line, offset = self._rows[path][0].tolist()
        with open(self._content[path], "rb") as file:
            file.seek(offset)
            where = f"{path}, line {line}"
            return detect(_object(file.readline(), where), where)


def _is_jsonl(path: Path) -> bool:
    return bare(path).suffix == ".jsonl"


def _checksum(path: Path) -> str:
    try:
        stat = path.stat()
        return _checksum_of(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None


@functools.cache
def _checksum_of(path: Path, size: int, mtime_ns: int) -> str:
    """Remembered within this process for as long as the file looks the same."""
    return packed_checksum(path) if is_packed(path) else checksum(path)


def _rows(path: Path) -> np.ndarray:
    """(line number from 1, offset in bytes) of each line that is not blank, int64, shape (rows, 2)."""
    rows, offset = [], 0
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append((number, offset))
                offset += len(line)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error}). Every line of a .jsonl file is one JSON object.") from None
    if not isinstance(row, dict):
        raise UserError(f"{where}: {type(row).__name__} where a JSON object should be. Every line is one.")
    return row


def _field(line: bytes, field: str, where: str) -> str:
    row = _object(line, where)
    if field not in row:
        raise UserError(
            f"{where}: no field {field}. {suggest(field, row)} corpus.field names the one that holds the text."
        )
    if not isinstance(row[field], str):
        raise UserError(f"{where}: field {field} is {type(row[field]).__name__}, not text.")
    try:
        row[field].encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: field {field} is no valid Unicode ({error.reason} at {error.start}).") from None
    return row[field]
