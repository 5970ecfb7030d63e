"""The recurrence of `harness.models.recurrent.chunks` by the kernels of flash-linear-attention (Yang, Zhang 2024): the
extra ``kernels``."""

from __future__ import annotations

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch.utils.weak import WeakTensorKeyDictionary

INSTALLED = all(find_spec(module) for module in ("fla", "triton", "einops"))

#: By a pass's stretches, what `_bounds` makes of them: every layer asks for the same.
_known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def may_stand_in(x: torch.Tensor) -> bool:
    """Whether the kernels compute in place of plain PyTorch: on a GPU, where fewer digits than float32's are asked for
    (their products have TF32's), and where algorithms need not be deterministic (the kernels tune themselves by the
    clock, so that two processes may add up in another order)."""
    if not (INSTALLED and x.is_cuda) or torch.are_deterministic_algorithms_enabled():
        return False
    return x.dtype in (torch.bfloat16, torch.float16) or torch.is_autocast_enabled(x.device.type)


@torch.compiler.disable(reason="how many stretches there are is known only then")  # type: ignore[untyped-decorator]
def recurrence(
    queries_BTGK: torch.Tensor,
    keys_BTGK: torch.Tensor,
    values_BTHV: torch.Tensor,
    log_decay_BTHD: torch.Tensor,
    stretches_BT: torch.Tensor | None,
    state_BHKV: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `harness.models.recurrent.chunks.recurrence` computes, and of the same, in float32."""
    from fla.ops.gla import chunk_gla
    from fla.ops.simple_gla import chunk_simple_gla

    rows, places, heads, _ = values_BTHV.shape
    shared = heads // queries_BTGK.shape[2]
    queries, keys, values, log_decay = (x.float() for x in (queries_BTGK, keys_BTGK, values_BTHV, log_decay_BTHD))
    queries, keys = (x.repeat_interleave(shared, dim=2) if shared > 1 else x for x in (queries, keys))
    kernel = chunk_gla
    if log_decay.shape[-1] == 1:
        kernel, log_decay = chunk_simple_gla, log_decay[..., 0]
    state = None if state_BHKV is None else state_BHKV.float()
    if stretches_BT is None:
        mixed, last = kernel(queries, keys, values, log_decay, scale=1.0, initial_state=state, output_final_state=True)
        return mixed, last

    # Stretches lie one behind another in one long row, each with the state that it begins with.
    bounds, first_B, last_B, goes_on_B = _bounds(stretches_BT, rows)
    starts = None
    if state is not None:
        starts = state.new_zeros(len(bounds) - 1, *state.shape[1:]).index_put(
            (first_B,), state * goes_on_B[:, None, None, None]
        )
    mixed, last = kernel(
        *(x.flatten(0, 1)[None] for x in (queries, keys, values, log_decay)),
        scale=1.0, initial_state=starts, output_final_state=True, cu_seqlens=bounds,
    )  # fmt: skip
    return mixed[0].unflatten(0, (rows, places)), last[last_B]


def _bounds(stretches_BT: torch.Tensor, rows: int) -> tuple[torch.Tensor, ...]:
    """Of rows laid one behind another: where stretches begin, and the end of the last (N + 1); by row the number of
    its first and last stretch; whether the first goes on from the state."""
    found = _known.get(stretches_BT)
    if found is None:
        inside_BT = stretches_BT.expand(rows, -1)
        fresh_BT = F.pad(inside_BT[:, 1:] != inside_BT[:, :-1], (1, 0), value=True)
        bounds = F.pad(fresh_BT.flatten().nonzero().flatten(), (0, 1), value=fresh_BT.numel())
        last_B = fresh_BT.sum(1).cumsum(0) - 1
        first_B = F.pad(last_B[:-1] + 1, (1, 0))
        found = _known[stretches_BT] = bounds, first_B, last_B, inside_BT[:, 0] == 0
    return found
