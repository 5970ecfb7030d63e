"""Key–value caches: decoding state of one attention layer."""

from __future__ import annotations

import torch


class KeyValueCache:
    """Keys and values of the places so far, in memory that is set aside once, at the first of them.

    places: the most it holds.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._keys_BHTD: torch.Tensor | None = None
        self._values_BHTD: torch.Tensor | None = None

    def extend(
        self, keys_BHTD: torch.Tensor, values_BHTD: torch.Tensor, offset: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes the places from `offset` on; returns keys and values of all places up to the last one written."""
        end = offset + keys_BHTD.shape[2]
        assert end <= self.places, f"the cache holds {self.places} places, not {end}"
        if self._keys_BHTD is None or self._values_BHTD is None:
            rows, heads, _, channels = keys_BHTD.shape
            self._keys_BHTD = keys_BHTD.new_empty(rows, heads, self.places, channels)
            self._values_BHTD = torch.empty_like(self._keys_BHTD)
        self._keys_BHTD[:, :, offset:end] = keys_BHTD
        self._values_BHTD[:, :, offset:end] = values_BHTD
        return self._keys_BHTD[:, :, :end], self._values_BHTD[:, :, :end]


class ContextCache:
    """Keys and values of another text, once they are made: ``kept`` is (keys_BHSD, values_BHSD)."""

    kept: tuple[torch.Tensor, torch.Tensor] | None = None
