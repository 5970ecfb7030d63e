"""Attention by features instead of a softmax, in chunks: time and memory grow as the sequence does, and decoding keeps
sums of one size.

    mixed_i = Σ_j (φ(q_i)·φ(k_j)) v_j / Σ_j φ(q_i)·φ(k_j)    over the places j that i sees

(Katharopoulos et al. 2020, equations 5 and 9). Within a chunk it is computed by its weights; what stands in other
chunks comes as Σ_j φ(k_j) [v_j, 1], whose last column makes the denominators. Letters of shapes: F features, E = D + 1,
N chunks of S places.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from harness.interfaces.attention import LinearHeadsConfig
from harness.interfaces.visibility import Causal
from harness.models.heads import Heads
from harness.models.position import Position
from harness.models.visibility import View, numbered_documents

#: The least denominator: features of a query that meet none of any key it sees would otherwise divide by 0.
LEAST = 1e-6


class Passage(NamedTuple):
    """Where sums go from chunk to chunk in rows of several documents, which lie one behind another.

    leaves_B1NS1: places whose document goes on behind their chunk; enters_B1NS1: places whose document began before it;
    through_B1N11: chunks within one document that began before. All bool.
    """

    leaves_B1NS1: torch.Tensor
    enters_B1NS1: torch.Tensor
    through_B1N11: torch.Tensor


class Chunks(NamedTuple):
    """What a layer is told of the visibility. chunk: places of one; None: no place is hidden from another.

    within_B1NSS: bool, which places of a chunk see which. forth, back: of what stands before, and (without `Causal`)
    behind; None: all of it is of the same document, or back under `Causal`.
    """

    chunk: int | None
    within_B1NSS: torch.Tensor | None = None
    forth: Passage | None = None
    back: Passage | None = None


def lower(view: View, chunk: int) -> Chunks:
    """Chunks of at most so many places."""
    return view.once(("chunks", chunk), lambda: _lowered(view, min(chunk, view.queries)))


def _lowered(view: View, chunk: int) -> Chunks:
    causal = Causal in view.visibility.kinds()
    documents_BT = numbered_documents(view.visibility, view.offset + view.queries, view.device)
    if documents_BT is None and not causal:
        return Chunks(None)
    within_SS = torch.ones(chunk, chunk, dtype=torch.bool, device=view.device)
    within_SS = within_SS.tril() if causal else within_SS
    if documents_BT is None:
        return Chunks(chunk, within_SS[None, None, None])
    before_B1 = documents_BT[:, max(view.offset - 1, 0), None]  # without an offset nothing is carried in
    filling_BT = documents_BT[:, -1:].expand(-1, -view.queries % chunk)
    documents_BNS = torch.cat((documents_BT[:, view.offset :], filling_BT), dim=1).unflatten(1, (-1, chunk))
    within_BNSS = (documents_BNS[..., :, None] == documents_BNS[..., None, :]) & within_SS
    forth = _passage(documents_BNS, documents_BNS[:, :, -1], before_B1)
    back = None
    if not causal:
        flipped_BNS = documents_BNS.flip(1)
        back = _passage(flipped_BNS, flipped_BNS[:, :, 0], flipped_BNS[:, 0, :1])
    return Chunks(chunk, within_BNSS[:, None], forth, back)


def _passage(documents_BNS: torch.Tensor, edge_BN: torch.Tensor, before_B1: torch.Tensor) -> Passage:
    """edge_BN: the document at the side of each chunk where sums leave it. before_B1: that before the first chunk."""
    before_BN = torch.cat((before_B1, edge_BN[:, :-1]), dim=1)
    leaves_BNS = documents_BNS == edge_BN[:, :, None]
    enters_BNS = documents_BNS == before_BN[:, :, None]
    through_BN = edge_BN == before_BN
    return Passage(leaves_BNS[:, None, :, :, None], enters_BNS[:, None, :, :, None], through_BN[:, None, :, None, None])


class Sums:
    """Decoding state: Σ_j φ(k_j) [v_j, 1] over the places so far that the next may see, (B, heads, F, D + 1)."""

    def __init__(self) -> None:
        self.sums_BHFE: torch.Tensor | None = None


class LinearHeads(Heads):
    """Attention by the features that a subclass makes of queries and keys."""

    def __init__(self, config: LinearHeadsConfig, width: int, position: Position) -> None:
        super().__init__(config, width, position)
        self.chunk = config.chunk

    def features(self, queries_BHTD: torch.Tensor, keys_BHTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(queries_BHTF, keys_BHTF), none below 0. What is given is in float32, outside of autocast."""
        raise NotImplementedError

    def start(self, batch: int, length: int) -> Sums:
        """An empty decoding state."""
        return Sums()

    def lower(self, view: View) -> Chunks:
        """What `forward` is told of the visibility."""
        return lower(view, self.chunk)

    def forward(
        self, hidden_BTC: torch.Tensor, positions: Any, seen: Chunks, state: Sums | None = None
    ) -> tuple[torch.Tensor, Sums | None]:
        """positions: what `Position.prepare` made of this pass's places."""
        queries_BHTD, keys_BHTD, values_BHTD = self.projected(hidden_BTC, positions)
        before_BHFE = None if state is None else state.sums_BHFE
        with without_autocast(hidden_BTC.device):
            queries_BHTF, keys_BHTF = self.features(queries_BHTD.float(), keys_BHTD.float())
            mixed_BHTD, after_BHFE = mix(queries_BHTF, keys_BHTF, values_BHTD.float(), seen, before_BHFE)
        if state is not None:
            state.sums_BHFE = after_BHFE
        return self.joined(mixed_BHTD.to(values_BHTD.dtype)), state


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Sums of many places lose what is small in bfloat16."""
    available = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if available else nullcontext()


def mix(
    queries_BHTF: torch.Tensor,
    keys_BHTF: torch.Tensor,
    values_BHTD: torch.Tensor,
    seen: Chunks,
    before_BHFE: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(mixed_BHTD, sums_BHFE after the last place). before_BHFE: the sums before the first."""
    values_BHTE = F.pad(values_BHTD, (0, 1), value=1.0)
    if seen.chunk is None:
        sums_BHFE = keys_BHTF.transpose(-1, -2) @ values_BHTE
        sums_BHFE = sums_BHFE if before_BHFE is None else before_BHFE + sums_BHFE
        return _divided(queries_BHTF @ sums_BHFE), sums_BHFE
    assert seen.within_B1NSS is not None
    places = queries_BHTF.shape[2]
    queries_BHNSF, keys_BHNSF, values_BHNSE = (_chunked(x, seen.chunk) for x in (queries_BHTF, keys_BHTF, values_BHTE))
    weights_BHNSS = (queries_BHNSF @ keys_BHNSF.transpose(-1, -2)).masked_fill(~seen.within_B1NSS, 0.0)
    mixed_BHNSE = weights_BHNSS @ values_BHNSE
    past_BHNSE, sums_BHFE = _of_others(queries_BHNSF, keys_BHNSF, values_BHNSE, seen.forth, before_BHFE)
    mixed_BHNSE = mixed_BHNSE + past_BHNSE
    if seen.back is not None:
        queries, keys, values = (x.flip(2) for x in (queries_BHNSF, keys_BHNSF, values_BHNSE))
        future_BHNSE, _ = _of_others(queries, keys, values, seen.back, None)
        mixed_BHNSE = mixed_BHNSE + future_BHNSE.flip(2)
    return _divided(mixed_BHNSE.flatten(2, 3)[:, :, :places]), sums_BHFE


def _chunked(x_BHTX: torch.Tensor, chunk: int) -> torch.Tensor:
    """x_BHNSX, in one piece of memory, or each product would make a copy of it."""
    missing = -x_BHTX.shape[2] % chunk
    filled = F.pad(x_BHTX, (0, 0, 0, missing)) if missing else x_BHTX
    return filled.contiguous().unflatten(2, (-1, chunk))


def _divided(mixed_BHTE: torch.Tensor) -> torch.Tensor:
    return mixed_BHTE[..., :-1] / mixed_BHTE[..., -1:].clamp(min=LEAST)


def _of_others(
    queries_BHNSF: torch.Tensor,
    keys_BHNSF: torch.Tensor,
    values_BHNSE: torch.Tensor,
    passage: Passage | None,
    before_BHFE: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(what each place takes of the chunks before its own, sums after the last chunk)."""
    if passage is not None:
        keys_BHNSF = keys_BHNSF.masked_fill(~passage.leaves_B1NS1, 0.0)
    own_BHNFE = keys_BHNSF.transpose(-1, -2) @ values_BHNSE
    before_BHFE = torch.zeros_like(own_BHNFE[:, :, 0]) if before_BHFE is None else before_BHFE
    through_B1N11 = None if passage is None else passage.through_B1N11
    sums_BHNFE = carried(own_BHNFE, through_B1N11, before_BHFE)
    mixed_BHNSE = queries_BHNSF @ torch.cat((before_BHFE[:, :, None], sums_BHNFE[:, :, :-1]), dim=2)
    if passage is not None:
        mixed_BHNSE = mixed_BHNSE.masked_fill(~passage.enters_B1NS1, 0.0)
    return mixed_BHNSE, sums_BHNFE[:, :, -1]


def carried(own_BHNFE: torch.Tensor, through_B1N11: torch.Tensor | None, before_BHFE: torch.Tensor) -> torch.Tensor:
    """sums_n = own_n + (sums_(n−1) where the document goes through chunk n), sums_−1 = before. None: it always does.

    With documents in log₂ N rounds, each of which looks twice as far back (Hillis & Steele 1986): a difference of plain
    cumulative sums would leave rounding errors of other documents.
    """
    if through_B1N11 is None:
        return own_BHNFE.cumsum(dim=2) + before_BHFE[:, :, None]
    first_BHFE = own_BHNFE[:, :, 0] + before_BHFE.masked_fill(~through_B1N11[:, :, 0], 0.0)
    sums_BHNFE = torch.cat((first_BHFE[:, :, None], own_BHNFE[:, :, 1:]), dim=2)
    reaches_B1N11 = through_B1N11.clone()
    reaches_B1N11[:, :, 0] = False
    step = 1
    while step < sums_BHNFE.shape[2]:
        sums_BHNFE = sums_BHNFE + sums_BHNFE.roll(step, dims=2).masked_fill(~reaches_B1N11, 0.0)
        reaches_B1N11 = reaches_B1N11 & reaches_B1N11.roll(step, dims=2)
        step *= 2
    return sums_BHNFE
