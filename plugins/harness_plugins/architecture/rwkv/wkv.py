"""RWKV-4's weighted mean (Peng et al. 2023, equation 14 and appendix D) without a loop over tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.models.recurrent.chunks import without_autocast

#: Places whose sums are made at once; the state is handed on between such chunks.
CHUNK = 256
#: The exponent of a sum of nothing.
NOTHING = -1e30

#: Numerator, denominator and exponent of both sums after a place: the sums are these times e^exponent.
State = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def wkv(
    keys_BTC: torch.Tensor,
    values_BTC: torch.Tensor,
    decay_C: torch.Tensor,
    first_C: torch.Tensor,
    stretches_BT: torch.Tensor | None = None,
    state: State | None = None,
) -> tuple[torch.Tensor, State]:
    """The mean of the values of places s up to t with weights e^(−(t−1−s) decay + key_s), and e^(first + key_t) for t
    itself: (mixed_BTC, state), in at least float32. No weight reaches over the start of a stretch.

    Exponents are kept apart from the sums, which are scaled by the largest, so that nothing overflows.
    """
    whole = torch.promote_types(keys_BTC.dtype, torch.float32)
    keys_BTC, values_BTC, decay_C, first_C = (x.to(whole) for x in (keys_BTC, values_BTC, decay_C, first_C))
    if state is None:
        nothing = torch.zeros_like(keys_BTC[:, :1])
        state = nothing, nothing, nothing + NOTHING
    known_BT = None if stretches_BT is None else F.pad(stretches_BT, (1, 0))  # with the stretch of the state before
    mixed = []
    with without_autocast(keys_BTC.device):
        for start in range(0, keys_BTC.shape[1], CHUNK):
            inside = slice(start, start + CHUNK)
            known = None if known_BT is None else known_BT[:, start : start + CHUNK + 1]
            sums = _sums(keys_BTC[:, inside], values_BTC[:, inside], decay_C, known, state)
            mixed.append(_mean(keys_BTC[:, inside], values_BTC[:, inside], first_C, known, sums))
            state = sums[0][:, -1:], sums[1][:, -1:], sums[2][:, -1:]
    return torch.cat(mixed, dim=1), state


def _sums(
    keys: torch.Tensor, values: torch.Tensor, decay_C: torch.Tensor, known: torch.Tensor | None, state: State
) -> State:
    """The sums after each place, that of the state first: over 2 places, over 4, … (Hillis, Steele 1986)."""
    numerator, denominator, exponent = (
        torch.cat((before, here), dim=1)
        for before, here in zip(state, (values, torch.ones_like(keys), keys), strict=True)
    )
    reach = 1
    while reach < numerator.shape[1]:
        before = exponent[:, :-reach] - reach * decay_C
        if known is not None:
            before = before.where((known[:, reach:] == known[:, :-reach])[..., None], NOTHING)
        before = F.pad(before, (0, 0, reach, 0), value=NOTHING)
        largest = torch.maximum(exponent, before).detach()  # it changes the scale and not the sum
        kept, joined = (exponent - largest).exp(), (before - largest).exp()
        numerator = kept * numerator + joined * F.pad(numerator[:, :-reach], (0, 0, reach, 0))
        denominator = kept * denominator + joined * F.pad(denominator[:, :-reach], (0, 0, reach, 0))
        exponent = largest
        reach *= 2
    return numerator, denominator, exponent


def _mean(
    keys: torch.Tensor, values: torch.Tensor, first_C: torch.Tensor, known: torch.Tensor | None, sums: State
) -> torch.Tensor:
    """The sums up to the place before, and the place itself."""
    numerator, denominator, exponent = (each[:, :-1] for each in sums)
    if known is not None:
        exponent = exponent.where((known[:, 1:] == known[:, :-1])[..., None], NOTHING)
    own = first_C + keys
    largest = torch.maximum(exponent, own).detach()
    kept, added = (exponent - largest).exp(), (own - largest).exp()
    return (kept * numerator + added * values) / (kept * denominator + added)
