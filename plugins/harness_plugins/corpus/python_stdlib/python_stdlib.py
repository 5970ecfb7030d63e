"""Which files of the standard library are read."""

from __future__ import annotations

import functools
import os
import sysconfig
from pathlib import Path

from harness.data.files import FileCorpus
from harness.errors import UserError

#: Folders that are left out wherever they stand: tests, and what was installed.
LEFT_OUT = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})


def files(root: Path | None = None) -> list[Path]:
    """The .py files that are UTF-8, sorted by their place in the library. Raises UserError where there are none."""
    return list(_files(root or Path(sysconfig.get_path("stdlib"))))


@functools.cache
def _files(root: Path) -> tuple[Path, ...]:
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    kept = sorted((path for path in found if _is_text(path)), key=lambda path: path.relative_to(root).as_posix())
    if not kept:
        raise UserError(f"This Python has no library in source form under {root}. Choose corpus=text corpus.path=…")
    return tuple(kept)


def build(root: Path | None = None) -> FileCorpus:
    return FileCorpus(files(root), root=root or Path(sysconfig.get_path("stdlib")))


def _is_text(path: Path) -> bool:
    try:
        path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return False
    return True
