"""A linear recurrence computed chunk by chunk: what Mamba-2's state space duality (Dao, Gu 2024, section 6) and gated
linear attention (Yang et al. 2024, section 4) have in common."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F

from harness.models.recurrent import kernels


def recurrence(
    queries_BTGK: torch.Tensor,
    keys_BTGK: torch.Tensor,
    values_BTHV: torch.Tensor,
    log_decay_BTHD: torch.Tensor,
    chunk: int,
    stretches_BT: torch.Tensor | None = None,
    state_BHKV: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each head S_t = exp(log_decay_t) S_{t−1} + k_t v_tᵀ and y_t = S_tᵀ q_t: (y_BTHV, the last S_BHKV), in at least
    float32.

    Groups of H/G heads share queries and keys. log_decay, at most 0: one number for a head (D is 1) or one for each
    channel of its keys (D is K). S is nothing where a stretch begins. Within a chunk every two places are compared,
    and from chunk to chunk S is handed on, so that time is linear in T and no exponential is of more than 0. Where
    `kernels` may, they compute it in chunks of their own.
    """
    if kernels.may_stand_in(queries_BTGK):
        return kernels.recurrence(queries_BTGK, keys_BTGK, values_BTHV, log_decay_BTHD, stretches_BT, state_BHKV)
    whole, groups = torch.promote_types(values_BTHV.dtype, torch.float32), queries_BTGK.shape[2]
    rows, places, heads, width = values_BTHV.shape
    chunk = min(chunk, places)
    padding = -places % chunk

    def chunked(x: torch.Tensor) -> torch.Tensor:
        """(B, T, heads, …) → (B, N, G, R, L, …): chunks of L places, groups of R heads."""
        x = F.pad(x.to(whole), (0, 0, 0, 0, 0, padding))
        return x.unflatten(1, (-1, chunk)).unflatten(3, (groups, -1)).permute(0, 1, 3, 4, 2, 5)

    with without_autocast(values_BTHV.device):
        queries, keys, values, log_decay = map(chunked, (queries_BTGK, keys_BTGK, values_BTHV, log_decay_BTHD))
        since = log_decay.cumsum(-2).exp()  # (B, N, G, R, t, D): how much of the state before the chunk is left
        inside_BNL = None
        if stretches_BT is not None:
            inside_BT = torch.cat((stretches_BT, stretches_BT[:, -1:].expand(-1, padding)), dim=1)
            inside_BNL = inside_BT.unflatten(1, (-1, chunk))
            before_BN1 = F.pad(inside_BNL[:, :-1, -1], (1, 0))[..., None]  # the stretch of the state before
            since = since * (inside_BNL == before_BN1)[:, :, None, None, :, None]
        between = _between(log_decay, inside_BNL)  # (B, N, G, R, t, s, D): how much of place s is left at t
        added = (keys * between[..., -1, :, :]).transpose(-1, -2) @ values  # (B, N, G, R, K, V)
        empty = added.new_zeros(added.shape[:1] + added.shape[2:])
        state = empty if state_BHKV is None else state_BHKV.to(whole).unflatten(1, (groups, -1))
        before, state = _handed_on(state, since[..., -1, :, None], added)
        mixed = _scores(queries, keys, between) @ values + (queries * since) @ before
        mixed_BTHV = mixed.permute(0, 1, 4, 2, 3, 5).reshape(rows, -1, heads, width)[:, :places]
    return mixed_BTHV, state.flatten(1, 2)


def _between(log_decay: torch.Tensor, inside_BNL: torch.Tensor | None) -> torch.Tensor:
    """exp of the sum of log decays after place s up to place t; 0 where s comes after t or is of another stretch.

    Each sum is added up by itself: differences of sums from the chunk's start would lose the digits of small decays
    behind a large one (Dao, Gu 2024, listing 1).
    """
    places = log_decay.shape[-2]
    ones = torch.ones(places, places, dtype=torch.bool, device=log_decay.device)
    seen, after = ones.tril()[..., None], ones.tril(-1)[..., None]
    sums = log_decay[..., :, None, :].where(after, 0.0).cumsum(-3)
    if inside_BNL is not None:
        same_BNts = inside_BNL[..., :, None] == inside_BNL[..., None, :]
        seen = seen & same_BNts[:, :, None, None, :, :, None]
    return sums.masked_fill(~seen, -torch.inf).exp()


def _scores(queries: torch.Tensor, keys: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
    """(B, N, G, R, t, s). A decay of each channel stands between the factors of every product."""
    if between.shape[-1] == 1:
        return (queries @ keys.transpose(-1, -2)) * between[..., 0]
    return (queries[..., :, None, :] * keys[..., None, :, :] * between).sum(-1)


def _handed_on(state: torch.Tensor, left: torch.Tensor, added: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The state before each chunk, and after the last. left: how much of it is left after each chunk."""
    before = []
    for left_of_chunk, added_by_chunk in zip(left.unbind(1), added.unbind(1), strict=True):
        before.append(state)
        state = left_of_chunk * state + added_by_chunk
    return torch.stack(before, dim=1), state


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Sums over many places are kept in full precision."""
    available = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if available else nullcontext()
