"""Folders that are made once from known content: cached under a key, made under a lock, checked when opened."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.causes import SHARED_MEMORY, is_full
from harness.config import PluginConfig
from harness.errors import UserError
from harness.files import cache_folder, is_whole, locked, new_folder
from harness.sources import source_digest


def digest(value: Any) -> str:
    """BLAKE2b of a JSON-ready value, 128 bits, hexadecimal; the same for equal values on every machine."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def made_by(plugin: PluginConfig) -> str:
    """A digest of the code that makes what is cached: this room and the plugin. What other code made is made anew."""
    return source_digest(("data",), (type(plugin).__module__,))


def cached_folder(kind: str, key: str, fill: Callable[[Path], None]) -> Path:
    """The cache's folder for a key. Where it is missing, half-written or damaged, `fill` writes it anew.

    Of several processes one fills it and the others wait. Raises UserError where the cache cannot be written.
    """
    folder = cache_folder() / kind / key
    if is_whole(folder):
        return folder
    try:
        with locked(folder.with_name(f"{key}.lock")):
            if not is_whole(folder):
                _remove_remains(folder)
                with new_folder(folder) as beside:
                    fill(beside)
    except OSError as error:
        if error.filename is None and is_full(SHARED_MEMORY):  # where the processes that fill it meet
            raise
        raise UserError(f"The cache {folder} cannot be written: {error}. XDG_CACHE_HOME names another place.") from None
    if not is_whole(folder):
        raise UserError(f"The cache {folder} is damaged and could not be replaced. Remove it and try again.")
    return folder


def _remove_remains(folder: Path) -> None:
    """Of a damaged folder, and of those whose makers were killed; safe under the key's lock."""
    for remains in [folder, *folder.parent.glob(f".{folder.name}-*")]:
        shutil.rmtree(remains, ignore_errors=True)
