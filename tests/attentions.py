"""What the tests of sparse and linear attentions share: slow references, one query at a time, and passes in pieces."""

import torch

from harness.config import plugin_config
from harness.interfaces.visibility import Visibility
from harness.models.position import Position
from harness.models.visibility import View

WIDTH = 16


def config(name, **values):
    return plugin_config("attention", {"name": name, **values}, "attention")


def random_module(options, width=WIDTH, position=None, seed=0):
    """The module with all parameters from N(0, 1 / width)."""
    torch.manual_seed(seed)
    module = options.build(width, position or Position())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, width**-0.5)
    return module.eval()


def passed(module, hidden_BTC, visibility, positions=None, state=None, offset=0):
    """What the module makes of so many places, behind `offset` others."""
    view = View(Visibility() & visibility, hidden_BTC.shape[1], offset, hidden_BTC.device)
    return module(hidden_BTC, positions, module.lower(view), state)[0]


def in_pieces(module, hidden_BTC, visibility, lengths):
    """The same through a decoding state, so many places at a time."""
    state, offset, made = module.start(len(hidden_BTC), hidden_BTC.shape[1]), 0, []
    for length in lengths:
        piece = hidden_BTC[:, offset : offset + length]
        made.append(passed(module, piece, visibility, state=state, offset=offset))
        offset += length
    assert offset == hidden_BTC.shape[1]
    return torch.cat(made, dim=1)


def heads_of(linear, hidden_TC, channels):
    """(T, heads, D)."""
    return linear(hidden_TC).view(len(hidden_TC), -1, channels)


def by_hand(module, hidden_BTC, sees_BQK, weight):
    """Σ_j w(q_i, k_j) v_j / Σ_j w(q_i, k_j), place by place. weight: (q of one head, keys of all places that it sees) →
    their weights."""
    rows = []
    for hidden_TC, sees_QK in zip(hidden_BTC, sees_BQK, strict=True):
        queries, keys, values = (
            heads_of(linear, hidden_TC, module.head_width) for linear in (module.queries, module.keys, module.values)
        )
        mixed = torch.zeros_like(queries)
        for i, seen_K in enumerate(sees_QK):
            for head in range(queries.shape[1]):
                weights = weight(queries[i, head], keys[seen_K, head])
                mixed[i, head] = weights @ values[seen_K, head] / weights.sum()
        rows.append(module.out(mixed.flatten(1)))
    return torch.stack(rows)


def softmax_weight(query_D, keys_KD):
    """Up to a factor, the softmax's: its sum is divided out."""
    return torch.softmax(keys_KD @ query_D * len(query_D) ** -0.5, dim=0)
