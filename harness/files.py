"""Files and folders that are there whole or not at all: written beside and renamed, checksummed, locked."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.lease import ATTEMPT

CHECKSUMS = "checksums.json"


def write_atomic(path: Path, content: bytes | str) -> None:
    """The file is there whole or not at all, also after a crash."""
    data = content.encode() if isinstance(content, str) else content
    if ATTEMPT not in path.parts:  # an attempt's folder that is gone stays gone
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises UserError, naming the file, where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None


def read_mapping(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path} cannot be read: it holds {type(value).__name__} where a JSON object should be.")
    return value


def checksum(path: Path) -> str:
    """BLAKE2b of a file's content, 128 bits, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@contextlib.contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """A folder to fill beside `final`; at the end its files are checksummed and it is renamed into place.

    A crash leaves only a hidden folder that nobody reads. If another process was faster, its folder stays.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}-"))
    try:
        yield beside
        seal(beside)
        beside.chmod(0o755)
        rename_folder(beside, final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def seal(folder: Path, checksums: Mapping[str, str] | None = None) -> None:
    """Writes the checksums (those that are not known yet are counted here) and brings all files to the disk."""
    files = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
    write_json(folder / CHECKSUMS, {name: (checksums or {}).get(name) or checksum(folder / name) for name in files})
    for name in files:
        sync(folder / name)


def rename_folder(beside: Path, final: Path) -> None:
    try:
        beside.rename(final)
    except OSError:
        if not is_whole(final):
            raise
    sync(final.parent)


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_whole(folder: Path) -> bool:
    """Whether every file of a folder made by `new_folder` is there with the content it had."""
    try:
        sums = json.loads((folder / CHECKSUMS).read_text())
        listed = sums.items() if isinstance(sums, dict) else ()
        return bool(listed) and all(checksum(folder / name) == digest for name, digest in listed)
    except (OSError, ValueError, RecursionError):
        return False


@contextlib.contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Holds an advisory lock on a file for as long as the block runs; others wait, and say so if told what to say.
    The system lets go of it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/harness``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "harness"
