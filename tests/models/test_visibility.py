"""Lowered visibilities, against the definition of each condition in a triple loop."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from harness.interfaces.visibility import (
    Causal,
    Condition,
    Full,
    NotBefore,
    Prefix,
    SameDocument,
    Visibility,
    Window,
)
from harness.models.visibility import View, lower


def holds(condition: Condition, row: int, i: int, j: int) -> bool:
    """The definitions of `harness.interfaces.visibility`, for one pair of places."""
    if isinstance(condition, Causal):
        return j <= i
    if isinstance(condition, Window):
        return abs(i - j) < condition.width
    if isinstance(condition, Prefix):
        return j <= i or j < condition.lengths_B[row]
    if isinstance(condition, SameDocument):
        return condition.documents_BT[row, i] == condition.documents_BT[row, j]
    if isinstance(condition, NotBefore):
        return j >= condition.starts_B[row] or i == j  # padding sees itself
    return True


def as_mask(lowered: tuple[bool, torch.Tensor | None], rows: int, queries: int, keys: int) -> torch.Tensor:
    """What scaled_dot_product_attention makes of a flag, a mask or neither."""
    is_causal, mask = lowered
    assert not (is_causal and mask is not None)
    if is_causal:
        return torch.ones(queries, keys, dtype=torch.bool).tril().expand(rows, 1, queries, keys)
    return torch.ones(rows, 1, queries, keys, dtype=torch.bool) if mask is None else mask.expand(rows, 1, -1, -1)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Visibility, int, int, int]:
    """(visibility, rows, offset, queries)."""
    rows, offset, queries = draw(st.integers(1, 3)), draw(st.integers(0, 4)), draw(st.integers(1, 5))
    keys = offset + queries
    for_rows = st.lists(st.integers(0, keys), min_size=rows, max_size=rows).map(torch.tensor)
    documents = st.lists(st.lists(st.integers(0, 2), min_size=keys, max_size=keys), min_size=rows, max_size=rows).map(
        torch.tensor
    )
    condition = st.one_of(
        st.just(Causal()),
        st.just(Full()),
        st.builds(Window, st.integers(1, keys + 1)),
        st.builds(Prefix, for_rows),
        st.builds(NotBefore, for_rows),
        st.builds(SameDocument, documents),
    )
    conditions = draw(st.lists(condition, min_size=1, max_size=4))
    return Visibility(tuple(conditions)), rows, offset, queries


@settings(deadline=None)
@given(situations())
def test_every_combination_lowers_to_its_definition(situation):
    visibility, rows, offset, queries = situation
    keys = offset + queries
    mask = as_mask(lower(visibility, queries, keys, offset, "cpu"), rows, queries, keys)
    for row in range(rows):
        for query in range(queries):
            for key in range(keys):
                expected = all(holds(c, row, offset + query, key) for c in visibility.conditions)
                assert mask[row, 0, query, key] == expected


@settings(deadline=None)
@given(situations(), st.integers(1, 3))
def test_a_bias_is_added_where_a_key_is_seen(situation, heads):
    visibility, rows, offset, queries = situation
    keys = offset + queries
    bias = torch.randn(1, heads, queries, keys)
    is_causal, mask = lower(visibility, queries, keys, offset, "cpu", bias)
    assert not is_causal
    seen = as_mask(lower(visibility, queries, keys, offset, "cpu"), rows, queries, keys)
    expected = torch.where(seen, bias, torch.tensor(-torch.inf))
    assert torch.equal(mask.expand_as(expected), expected)


@pytest.mark.parametrize("visibility", [Visibility((Causal(),)), Causal() & Full(), Causal() & Window(8)])
def test_plain_causal_attention_needs_no_mask(visibility):
    assert lower(visibility, 8, 8, 0, "cpu") == (True, None)
    assert lower(visibility, 1, 8, 7, "cpu") == (False, None)


def test_a_view_lowers_once_for_all_layers():
    view = View(Causal() & Window(3), 8, 0, torch.device("cpu"))
    assert view.lower()[1] is view.lower()[1]
    assert view.lower(2)[1].sum() < view.lower()[1].sum()


def test_a_window_is_as_wide_ahead_as_behind():
    _, mask = lower(Visibility((Window(2),)), 5, 5, 0, "cpu")
    assert mask[0, 0].sum(-1).tolist() == [2, 3, 3, 3, 2], "a place, and one neighbour on each side"


def test_an_unknown_condition_is_refused():
    class Diagonal(Condition):
        pass

    with pytest.raises(TypeError, match="Diagonal"):
        lower(Visibility((Diagonal(),)), 2, 2, 0, "cpu")
