"""Which documents are held out: decided by the text alone, so that equal documents fall on one side."""

from __future__ import annotations

import hashlib


def is_held_out(text: str, share: float) -> bool:
    """Whether the document's hash lies in the lowest `share` (0 … 1) of all hashes. No seed moves it."""
    position = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
    return position < share * 2**64
