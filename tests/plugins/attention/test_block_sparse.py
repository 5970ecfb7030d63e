"""Attention by blocks, against a softmax over a mask of all places that is written down place by place."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.interfaces.visibility import Causal, Full, NotBefore, SameDocument
from harness.models.position import Position
from harness.testing import AttentionKit
from harness.testing.sees import sees, visibilities
from harness_plugins.attention.block_sparse.pattern import Pattern, seen_blocks
from tests.attentions import WIDTH, by_hand, config, in_pieces, passed, random_module, softmax_weight

ROWS, LENGTH = 4, 23


class TestKit(AttentionKit):
    """With blocks that hold all that the kit looks at: which blocks are seen is tested below."""

    config = config("block_sparse", heads=2)


OPTIONS = {
    "local": {"block": 4, "global_places": 0},
    "local and global (Longformer)": {"block": 3, "global_places": 2},
    "global beyond the first block": {"block": 3, "local": 0, "global_places": 5},
    "and random (BigBird)": {"block": 2, "global_places": 1, "random": 2, "key": 7},
    "one block": {"block": 64, "global_places": 3, "random": 1},
    "all blocks": {"block": 3, "local": 20},
    "single places": {"block": 1, "local": 2, "random": 3},
}


def shown(options, places, causal):
    """Whether place q sees place k by the pattern alone, in a row without padding."""
    number = -(-places // options.block)
    pattern = Pattern(options.block, options.local, options.global_places, options.random, options.key)
    table = seen_blocks(number, pattern, causal)

    def shows(q, k):
        near = abs(q // options.block - k // options.block) <= options.local
        drawn = k // options.block in table[q // options.block]
        return near or drawn or k < options.global_places or (q < options.global_places and not causal)

    return shows


def dense(options, visibility, rows, places):
    """sees_BQK of the visibility and the pattern together; the pattern begins behind the padding."""
    causal, padding = visibility.get(Causal) is not None, visibility.get(NotBefore)
    starts = [0] * rows if padding is None else padding.starts_B.tolist()
    shows = shown(options, places, causal)
    pattern = torch.eye(places, dtype=torch.bool).repeat(rows, 1, 1)
    for row, start in enumerate(starts):
        for q in range(start, places):
            for k in range(start, places):
                pattern[row, q, k] |= shows(q - start, k - start)
    return sees(visibility, rows, places) & pattern


@torch.no_grad()
@pytest.mark.parametrize("name", list(visibilities(config("block_sparse").visibilities, ROWS, LENGTH)))
@pytest.mark.parametrize("values", OPTIONS.values(), ids=OPTIONS.keys())
def test_it_is_a_masked_softmax_for_every_visibility(values, name):
    options = config("block_sparse", heads=2, bias=True, **values)
    module, hidden_BTC = random_module(options), torch.randn(ROWS, LENGTH, WIDTH)
    visibility = visibilities(options.visibilities, ROWS, LENGTH)[name]
    found = passed(module, hidden_BTC, visibility)
    expected = by_hand(module, hidden_BTC, dense(options, visibility, ROWS, LENGTH), softmax_weight)
    padding = visibility.get(NotBefore)
    is_real_BT = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    if padding is not None:  # what stands on padding is nobody's
        is_real_BT = torch.arange(LENGTH) >= padding.starts_B[:, None]
    torch.testing.assert_close(found[is_real_BT], expected[is_real_BT], rtol=1e-4, atol=1e-5)
    assert found.isfinite().all()


@torch.no_grad()
@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    values=st.sampled_from(list(OPTIONS.values())),
    starts=st.lists(st.integers(0, 4), min_size=2, max_size=2),
    end=st.integers(1, 54),
)
def test_decoding_in_any_pieces_equals_one_pass(lengths, values, starts, end):
    places = sum(lengths)
    module, hidden_BTC = random_module(config("block_sparse", **values)), torch.randn(2, places, WIDTH)
    starts_B = torch.tensor(starts).clamp(max=places - 1)
    documents_BT = (torch.arange(places) >= end).long().expand(2, -1)
    visibility = Causal() & NotBefore(starts_B) & SameDocument(documents_BT)
    found = in_pieces(module, hidden_BTC, visibility, lengths)
    torch.testing.assert_close(found, passed(module, hidden_BTC, visibility), rtol=1e-4, atol=1e-5)


@given(number=st.integers(1, 30), local=st.integers(0, 3), random=st.integers(0, 4), causal=st.booleans())
def test_random_blocks_are_others_none_twice_and_under_causal_the_same_whatever_follows(number, local, random, causal):
    pattern = Pattern(4, local, 0, random, key=1)
    table = seen_blocks(number, pattern, causal)
    for block, row in enumerate(table):
        seen = [other for other in row if other >= 0]
        near = {b for b in range(block - local, block + local + 1) if 0 <= b < number and (b <= block or not causal)}
        others = (block + 1 if causal else number) - len(near)
        assert len(set(seen)) == len(seen) == len(near) + min(random, others)
        assert near <= set(seen)
    if causal:
        longer = seen_blocks(number + 5, pattern, causal)
        assert [set(row) - {-1} for row in table] == [set(row) - {-1} for row in longer[:number]]


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves(made) if isinstance(x, torch.Tensor)]
        self.numbers = max([self.numbers, *(tensor.numel() for tensor in tensors)])
        return made


@pytest.mark.parametrize("visibility", [Causal(), Full()], ids=["causal", "full"])
def test_cost_and_tensors_grow_as_the_sequence_does(visibility):
    options, largest = config("block_sparse", block=8, random=1, global_places=2), []
    for places in (256, 512):
        with FakeTensorMode(), Largest() as numbers:
            passed(options.build(WIDTH, Position()), torch.zeros(1, places, WIDTH), visibility)
        largest.append(numbers.numbers)
    assert largest[1] == 2 * largest[0] < 512 * 512
    assert options.mixing_flops(WIDTH, 512) == options.mixing_flops(WIDTH, 256)


@torch.no_grad()
def test_weights_are_dropped_in_training_alone():
    module, hidden_BTC = random_module(config("block_sparse", dropout=0.5)), torch.randn(1, LENGTH, WIDTH)
    assert torch.equal(passed(module, hidden_BTC, Full()), passed(module, hidden_BTC, Full()))
    module.train()
    assert not torch.equal(passed(module, hidden_BTC, Full()), passed(module, hidden_BTC, Full()))
