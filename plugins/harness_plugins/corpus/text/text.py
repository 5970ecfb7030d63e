"""Which files a path means."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from harness.data.packed import bare
from harness.errors import UserError


def find(path: str | Sequence[str], suffixes: Sequence[str]) -> list[Path]:
    """The files, in the order of the list and sorted within each of its entries, none twice.

    Raises UserError for an entry that names nothing.
    """
    entries = [path] if isinstance(path, str) else list(path)
    if not entries:
        raise UserError("corpus.path is empty. Give a file, a folder, a glob, or a list of these.")
    return list(dict.fromkeys(file for entry in entries for file in _files_of(entry, suffixes)))


def _files_of(entry: str, suffixes: Sequence[str]) -> list[Path]:
    path = Path(entry).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if _ends_in(p, suffixes) and p.is_file() and not _is_hidden(p, path))
        if not found:
            raise UserError(f"corpus.path={entry} is a folder without any file that ends in {', '.join(suffixes)}.")
        return found
    found = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file())
    if not found:
        raise UserError(f"corpus.path={entry}: there is no such file, folder or match, seen from {Path.cwd()}.")
    return found


def _ends_in(path: Path, suffixes: Sequence[str]) -> bool:
    return path.suffix in suffixes or bare(path).suffix in suffixes


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
