"""Interpolated Kneser–Ney smoothing over counts that grow.

Kneser & Ney 1995; Chen & Goodman 1999, eq. 24–27, with one absolute discount for each order. The counts are sorted
tensors of packed n-grams; nothing loops over tokens. Letters of shapes: G n-grams, C contexts, N asked for, K tokens of
a context, V vocabulary, O orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn


class Level(nn.Module):
    """The n-grams of one order. Each context's n-grams lie side by side, since the keys are sorted.

    base: the tokens that there are, so that a key is its context's · base + its last token. keys_G: distinct n-grams,
    packed. counts_G: how often each was counted. contexts_C: distinct contexts, packed; totals_C: what was counted
    after each; types_C: how many different tokens that were.
    """

    keys_G: torch.Tensor
    counts_G: torch.Tensor
    contexts_C: torch.Tensor
    totals_C: torch.Tensor
    types_C: torch.Tensor

    def __init__(self, base: int) -> None:
        super().__init__()
        self.base = base
        for name in ("keys_G", "counts_G", "contexts_C", "totals_C", "types_C"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64))

    def add(self, keys_N: torch.Tensor, counts_N: torch.Tensor) -> torch.Tensor:
        """Counts distinct, sorted n-grams; returns those that were new, sorted."""
        place_N, known_N = _find(self.keys_G, keys_N)
        new_N = keys_N[~known_N]
        contexts_N, numbers_N = (keys_N // self.base).unique_consecutive(return_inverse=True)
        totals_N, types_N = (torch.zeros_like(contexts_N) for _ in range(2))
        totals_N.index_add_(0, numbers_N, counts_N)
        types_N.index_add_(0, numbers_N, (~known_N).long())
        self.keys_G, self.counts_G = _merged(self.keys_G, (self.counts_G,), place_N, known_N, keys_N, (counts_N,))
        place_N, known_N = _find(self.contexts_C, contexts_N)
        self.contexts_C, self.totals_C, self.types_C = _merged(
            self.contexts_C, (self.totals_C, self.types_C), place_N, known_N, contexts_N, (totals_N, types_N)
        )
        return new_N

    def logit(self) -> torch.Tensor:
        """Of the discount n₁ / (n₁ + 2 n₂), where nₖ n-grams were counted k times; 0, for a half, without either."""
        once, twice = ((self.counts_G == k).sum().double() for k in (1, 2))
        return torch.where((once > 0) & (twice > 0), (once / (2 * twice)).log(), 0.0)

    def after(self, contexts_N: torch.Tensor, discount: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each context, what was counted after it, and the weight of the lower order: 1 where it is not known."""
        place_N, known_N = _find(self.contexts_C, contexts_N)
        total_N = F.pad(self.totals_C, (0, 1), value=1)[place_N].double()
        freed_N = discount * F.pad(self.types_C, (0, 1), value=1)[place_N]
        return total_N, torch.where(known_N, freed_N / total_N, 1.0)

    def counted(self, contexts_N: torch.Tensor, vocabulary: int) -> torch.Tensor:
        """counts_NV after each context."""
        first_N, end_N = (torch.searchsorted(self.keys_G, (contexts_N + more) * self.base) for more in (0, 1))
        lengths_N = end_N - first_N
        rows = torch.arange(len(contexts_N), device=lengths_N.device).repeat_interleave(lengths_N)
        before_N = lengths_N.cumsum(0) - lengths_N
        places = torch.arange(len(rows), device=rows.device) - (before_N - first_N)[rows]
        counts_NV = torch.zeros(len(contexts_N), vocabulary, dtype=torch.float64, device=rows.device)
        counts_NV[rows, self.keys_G[places] % self.base] = self.counts_G[places].double()
        return counts_NV

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        for name, buffer in self.named_buffers():
            if (saved := state_dict.get(prefix + name)) is not None:
                buffer.resize_(saved.shape)  # counts have the size of what was seen
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class KneserNey(nn.Module):
    """Probabilities of tokens 0 … vocabulary − 1 after contexts, from n-grams of orders 1 … order.

    `nothing`, the number behind the vocabulary, stands in a context where no token is; it is never foretold. The
    discount of an order is sigmoid(logit of Chen & Goodman's estimate + shift), and the shifts are parameters.
    """

    roles = {"shifts_O": "bias"}

    def __init__(self, order: int, vocabulary: int) -> None:
        super().__init__()
        assert order >= 1
        self.order, self.vocabulary, self.base, self.nothing = order, vocabulary, vocabulary + 1, vocabulary
        assert self.base**order < 2**63, "an n-gram has to fit into 64 bits"
        self.levels = nn.ModuleList(Level(self.base) for _ in range(order))
        self.shifts_O = nn.Parameter(torch.zeros(order))

    @torch.no_grad()
    def add(self, grams_N: torch.Tensor) -> None:
        """Counts n-grams, packed, the oldest token first.

        A shorter n-gram counts once for each distinct token that stood before it, not once for each time.
        """
        keys_N, counts_N = grams_N.unique(return_counts=True)
        for length in range(self.order, 0, -1):
            new_N = self._level(length).add(keys_N, counts_N)
            keys_N, counts_N = (new_N % self.base ** (length - 1)).unique(return_counts=True)

    def packed(self, tokens_NK: torch.Tensor) -> torch.Tensor:
        """The last order tokens of each row, or fewer, as one number."""
        packed_N = torch.zeros_like(tokens_NK[:, 0])
        for token_N in tokens_NK[:, -self.order :].unbind(1):
            packed_N = packed_N * self.base + token_N
        return packed_N

    def distribution(self, contexts_N: torch.Tensor) -> torch.Tensor:
        """probabilities_NV of all tokens, float64, after packed contexts of at least order − 1 tokens."""
        probability_NV = self._uniform((1, self.vocabulary))
        for length, level, discount in self._discounted():
            asked_N = contexts_N % self.base ** (length - 1) if length > 1 else contexts_N.new_zeros(1)
            total_N, weight_N = level.after(asked_N, discount)
            counts_NV = level.counted(asked_N, self.vocabulary)
            own_NV = (counts_NV - discount * (counts_NV > 0)) / total_N[:, None]
            probability_NV = own_NV + weight_N[:, None] * probability_NV
        return probability_NV.expand(len(contexts_N), -1)

    def probabilities(self, grams_N: torch.Tensor) -> torch.Tensor:
        """Of the last token of each packed n-gram after those before it, float64."""
        probability_N = self._uniform((len(grams_N),))
        for length, level, discount in self._discounted():
            asked_N = grams_N % self.base**length
            total_N, weight_N = level.after(asked_N // self.base, discount)
            place_N, seen_N = _find(level.keys_G, asked_N)
            count_N = F.pad(level.counts_G, (0, 1))[place_N]
            own_N = torch.where(seen_N, count_N - discount, 0.0) / total_N
            probability_N = own_N + weight_N * probability_N
        return probability_N

    def _level(self, length: int) -> Level:
        return cast(Level, self.levels[length - 1])

    def _uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.full(shape, 1 / self.vocabulary, dtype=torch.float64, device=self.shifts_O.device)

    def _discounted(self) -> Iterator[tuple[int, Level, torch.Tensor]]:
        """Each order, shortest first: tokens of an n-gram, its level, its discount."""
        for length in range(1, self.order + 1):
            level = self._level(length)
            yield length, level, (level.logit() + self.shifts_O[length - 1].double()).sigmoid()


def _find(sorted_G: torch.Tensor, wanted_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each wanted value stands among the sorted ones, or would, and whether it does."""
    place_N = torch.searchsorted(sorted_G, wanted_N)
    return place_N, F.pad(sorted_G, (0, 1), value=-1)[place_N] == wanted_N


def _merged(
    keys_G: torch.Tensor,
    numbers: tuple[torch.Tensor, ...],
    place_N: torch.Tensor,
    known_N: torch.Tensor,
    keys_N: torch.Tensor,
    more: tuple[torch.Tensor, ...],
) -> list[torch.Tensor]:
    """Sorted keys and their numbers, with those of other sorted keys added to them, or put where `_find` says."""
    new_N = ~known_N
    to_N = place_N[new_N] + torch.arange(int(new_N.sum()), device=keys_N.device)
    is_old = torch.ones(len(keys_G) + len(to_N), dtype=torch.bool, device=keys_N.device)
    is_old[to_N] = False
    found = []
    for old_G, own_N in zip((keys_G, *numbers), (None, *more), strict=True):
        merged = old_G.new_empty(len(is_old))
        merged[to_N] = (keys_N if own_N is None else own_N)[new_N]
        if own_N is not None:
            old_G = old_G.index_add(0, place_N[known_N], own_N[known_N])
        merged[is_old] = old_G
        found.append(merged)
    return found
