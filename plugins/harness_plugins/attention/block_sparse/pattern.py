"""Which blocks a block sees, and the masks of what it may see in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from harness.interfaces.visibility import Causal, NotBefore
from harness.models.visibility import View, numbered_documents


@dataclass(frozen=True)
class Pattern:
    """block: places of a block. local: neighbours on either side. first: global places. random, key: further blocks."""

    block: int
    local: int
    first: int
    random: int
    key: int


class Blocks(NamedTuple):
    """What a layer is told of the visibility, where it computes by blocks.

    Letters: N blocks of S places; M blocks that one sees; G global places; K = G + M · S. Rows with padding on the left
    are turned by it, so that they begin with their first place: turned_BT, where each place is found, and back_BT.

    blocks_X: N · M numbers of blocks. mask_BN1SK: what each place sees of the global places and of these blocks; B may
    be 1. wide_B1GT: what the global places see; None where there are none, and under `Causal`, where nothing
    before them is left out.
    """

    blocks_X: torch.Tensor
    mask_BN1SK: torch.Tensor
    wide_B1GT: torch.Tensor | None
    turned_BT: torch.Tensor | None
    back_BT: torch.Tensor | None
    offset: int = 0


class Dense(NamedTuple):
    """What a layer is told where a few places see what the decoding state holds. mask_B1QK: B may be 1."""

    mask_B1QK: torch.Tensor
    offset: int


def lower(view: View, pattern: Pattern) -> Blocks | Dense:
    """By blocks from the row's beginning on; behind places that a decoding state holds, place by place."""
    return view.once(pattern, lambda: _dense(view, pattern) if view.offset else _blocks(view, pattern))


def _blocks(view: View, pattern: Pattern) -> Blocks:
    places, device, causal = view.queries, view.device, Causal in view.visibility.kinds()
    documents_BT = numbered_documents(view.visibility, places, device)
    turned_BT = back_BT = None
    starts_B = _starts(view)
    if starts_B is not None:
        assert documents_BT is not None
        place_T = torch.arange(places, device=device)
        turned_BT, back_BT = (place_T + starts_B[:, None]) % places, (place_T - starts_B[:, None]) % places
        documents_BT = documents_BT.expand(len(starts_B), -1).gather(1, turned_BT)
    number, first = -(-places // pattern.block), min(pattern.first, places)
    table_NM = torch.tensor(seen_blocks(number, pattern, causal), device=device)
    query_NS = torch.arange(number * pattern.block, device=device).unflatten(0, (number, pattern.block))
    key_NX = (table_NM[:, :, None] * pattern.block + torch.arange(pattern.block, device=device)).flatten(1)
    once_NX = (key_NX >= first) & (table_NM >= 0).repeat_interleave(pattern.block, dim=1)  # global places come apart
    key_NK = torch.cat((torch.arange(first, device=device).expand(number, -1), key_NX), dim=1)
    once_NK = torch.cat((torch.ones(number, first, dtype=torch.bool, device=device), once_NX), dim=1)
    allowed = _allowed(query_NS[:, :, None], key_NK[:, None, :], causal, documents_BT) & (key_NK < places)[:, None]
    mask = once_NK[:, None] & (allowed | (query_NS[:, :, None] == key_NK[:, None]))
    wide_B1GT = None
    if first and not causal:
        place_T = torch.arange(places, device=device)
        wide = _allowed(place_T[:first, None], place_T[None], causal, documents_BT)
        wide_B1GT = wide.reshape(-1, 1, first, places)
    mask_BN1SK = mask.reshape(-1, number, 1, pattern.block, key_NK.shape[1])
    return Blocks(table_NM.clamp(min=0).flatten(), mask_BN1SK, wide_B1GT, turned_BT, back_BT)


def _starts(view: View) -> torch.Tensor | None:
    """Each row's first place, where there is padding."""
    condition = view.visibility.get(NotBefore)
    return condition.starts_B if isinstance(condition, NotBefore) else None


def _allowed(query: torch.Tensor, key: torch.Tensor, causal: bool, documents_BT: torch.Tensor | None) -> torch.Tensor:
    """Whether the visibility lets `query` see `key`, places of shapes that broadcast; with documents a first dimension
    for the rows is added."""
    allowed = key <= query if causal else torch.ones_like(key <= query)
    if documents_BT is None:
        return allowed
    last = documents_BT.shape[1] - 1  # what fills up the last block is masked elsewhere
    return allowed & (documents_BT[:, query.clamp(max=last)] == documents_BT[:, key.clamp(0, last)])


def _dense(view: View, pattern: Pattern) -> Dense:
    places, device, causal = view.offset + view.queries, view.device, Causal in view.visibility.kinds()
    place_T = torch.arange(places, device=device)
    query_Q, starts_B = place_T[view.offset :], _starts(view)
    allowed = _allowed(query_Q[:, None], place_T[None], causal, numbered_documents(view.visibility, places, device))
    begin_B11 = torch.zeros(1, 1, 1, dtype=torch.int64, device=device) if starts_B is None else starts_B[:, None, None]
    query_BQ1, key_B1K = query_Q[:, None] - begin_B11, place_T[None] - begin_B11
    table_NM = torch.tensor(seen_blocks(-(-places // pattern.block), pattern, causal), device=device)
    seen_BQM = table_NM[(query_BQ1[..., 0] // pattern.block).clamp(min=0)]
    drawn_BQK = (seen_BQM[..., None] == (key_B1K // pattern.block)[:, :, None]).any(dim=2)
    reached = drawn_BQK | (key_B1K < pattern.first)
    reached = reached if causal else reached | (query_BQ1 < pattern.first)
    mask = (allowed & reached) | (query_Q[:, None] == place_T)
    return Dense(mask[:, None], view.offset)


@lru_cache(maxsize=64)
def seen_blocks(number: int, pattern: Pattern, causal: bool) -> list[list[int]]:
    """For each of so many blocks those that it sees, −1 where there are fewer than for others: itself and its
    neighbours, and `random` others. Under `Causal` they are none behind it, and the same however many blocks follow."""
    local, rows = min(pattern.local, number - 1), []
    for block in range(number):
        near = range(block - local, block + 1 if causal else block + local + 1)
        far = [other for other in range(block if causal else number) if other not in near]
        drawn = np.random.default_rng([pattern.key, block]).permutation(len(far))[: pattern.random]
        rows.append([near_by if near_by < number else -1 for near_by in near] + [far[place] for place in drawn])
    longest = max(map(len, rows))
    return [[max(block, -1) for block in row] + [-1] * (longest - len(row)) for row in rows]
