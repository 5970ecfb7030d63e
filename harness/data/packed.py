"""Compressed files (.gz, .zst): hashed as what they hold, and unpacked once to be read in any place.

Neither format can be entered in the middle: shards are made in blocks by several processes, and a tokenizer's sample
and the held-out documents lie anywhere. So the text is unpacked into the cache in one pass, a megabyte at a time.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.data.cache import cached_folder
from harness.errors import UserError

#: Endings of the files that are unpacked.
PACKED = (".gz", ".zst")


def is_packed(path: Path) -> bool:
    return path.suffix in PACKED


def bare(path: Path) -> Path:
    """The path without the ending of its compression: what the file would be called unpacked."""
    return path.with_suffix("") if is_packed(path) else path


def pieces(path: Path) -> Iterator[bytes]:
    """What a compressed file holds, from its beginning. Raises UserError where it cannot be read, is damaged or ends
    before its time."""
    try:
        if not path.stat().st_size:
            raise EOFError("it is empty")
        with _open(path) as stream:
            while piece := stream.read(2**20):
                yield piece
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from None
        reason = str(error).rstrip(".")
        raise UserError(f"{path} is damaged or cut short: {reason}. Fetch or compress it again.") from None


def _open(path: Path) -> contextlib.AbstractContextManager[Any]:
    if path.suffix == ".gz":
        return gzip.open(path)
    import pyarrow

    return pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")


def packed_checksum(path: Path) -> str:
    """BLAKE2b of what the file holds, 128 bits, hexadecimal: that of the same file unpacked."""
    hashed = hashlib.blake2b(digest_size=16)
    for piece in pieces(path):
        hashed.update(piece)
    return hashed.hexdigest()


@functools.cache
def unpacked(path: Path, content: str) -> Path:
    """What the file holds, as a file in the cache. content: its `packed_checksum`.

    Remembered within this process, so that the cache is not checked again for each reader.
    """

    def fill(folder: Path) -> None:
        with open(folder / "content", "wb") as file:
            file.writelines(pieces(path))

    return cached_folder("unpacked", content, fill) / "content"
