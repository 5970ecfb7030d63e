"""The endless stream against a slow and obvious one."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.cells import Cut, Windows
from harness.data.shards import Side
from harness.data.stream import BLOCK, Part, Stream, positions_within
from harness.errors import UserError

END = 999


def side(documents: list[list[int]], per_shard: int = 2) -> Side:
    """Documents as `write` would leave them, so many in a shard."""
    rows = [[*document, END] for document in documents]
    shards = [list(chain(*rows[i : i + per_shard])) for i in range(0, len(rows), per_shard)]
    lengths = [len(shard) for shard in shards]
    ends = np.cumsum([len(row) for row in rows]) - 1
    return Side(
        tokens=sum(lengths),
        text_bytes=0,
        end_places_D=ends,
        numbers_D=np.arange(len(rows)),
        _shards=tuple(np.array(shard, dtype="<u2") for shard in shards),
        _starts=np.cumsum([0, *lengths])[:-1].tolist(),
    )


def documents(seed: int, count: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 900, size=rng.integers(0, 30)).tolist() for _ in range(count)]


def stream(sequence_length: int = 8, seed: int = 0) -> Stream:
    parts = [Part("big", side(documents(1, 40)), 0.75), Part("small", side(documents(2, 6)), 0.25)]
    return Stream(parts, Cut("sequences", sequence_length), seed)


@given(st.lists(st.lists(st.integers(0, 900), max_size=9), min_size=1, max_size=12), st.integers(1, 5), st.data())
def test_a_side_reads_as_one_long_row(documents: list[list[int]], per_shard: int, data) -> None:
    long = [token for document in documents for token in [*document, END]]
    start = data.draw(st.integers(0, len(long) - 1))
    stop = data.draw(st.integers(start + 1, len(long)))
    assert side(documents, per_shard).read(start, stop).tolist() == long[start:stop]


def test_sequences_are_cut_from_the_sources_with_the_token_after_them() -> None:
    made = stream(sequence_length=8)
    longs = [[t for d in documents(*which) for t in [*d, END]] for which in [(1, 40), (2, 6)]]
    rows = made.sequences(100, 50)
    source, _, sequence = made.locate(np.arange(100, 150))
    for row, s, i in zip(rows.tokens_BS.tolist(), source.tolist(), sequence.tolist(), strict=True):
        assert row == longs[s][i * 8 : i * 8 + 9]
    assert rows.places_B.tolist() == list(range(100, 150))
    assert {rows.tokens_BS.dtype, rows.documents_BS.dtype, rows.places_B.dtype} == {np.dtype("int64")}


def test_a_new_document_begins_with_the_end_token_of_the_last() -> None:
    rows = stream(sequence_length=16).sequences(0, 200)
    for tokens, in_document in zip(rows.tokens_BS.tolist(), rows.documents_BS.tolist(), strict=True):
        assert in_document == [tokens[1 : place + 1].count(END) for place in range(17)]


def test_each_epoch_has_each_sequence_once_in_a_new_order() -> None:
    made = stream()
    source, epoch, sequence = made.locate(np.arange(12 * sum(made.sizes)))
    for s, size in enumerate(made.sizes):
        orders = [sequence[(source == s) & (epoch == e)].tolist() for e in range(3)]
        assert all(sorted(order) == list(range(size)) for order in orders)
        assert orders[0] != orders[1] != orders[2]


@settings(max_examples=30)
@given(st.integers(0, 3 * BLOCK), st.integers(1, 40), st.integers(0, 40))
def test_seeking_is_asking_for_a_later_place(first: int, count: int, cut: int) -> None:
    cut = min(cut, count)
    whole, parts = (
        stream().sequences(first, count),
        [stream().sequences(start, rows) for start, rows in [(first, cut), (first + cut, count - cut)] if rows],
    )
    for name in ("tokens_BS", "documents_BS", "places_B"):
        assert (getattr(whole, name) == np.concatenate([getattr(part, name) for part in parts])).all()


def test_seeds_give_other_orders() -> None:
    assert (stream(seed=0).sequences(0, 20).tokens_BS != stream(seed=1).sequences(0, 20).tokens_BS).any()


def test_the_first_repeat_is_the_first_place_seen_before() -> None:
    made = stream()
    seen = list(zip(*(column.tolist() for column in made.locate(np.arange(2000))[::2]), strict=True))
    assert made.first_repeat() == next(place for place in range(2000) if seen[place] in seen[:place])


def test_a_source_too_short_for_one_sequence_is_refused() -> None:
    with pytest.raises(UserError, match=r"corpus tiny has 8 training tokens.*sequence_length=8"):
        Stream([Part("tiny", side([[1, 2, 3, 4, 5, 6, 7]]), 1.0)], Cut("sequences", 8), 0)
    assert Stream([Part("tiny", side([[1, 2, 3, 4, 5, 6, 7]]), 1.0)], Cut("sequences", 7), 0).sizes == [1]


@given(st.integers(0, 50), st.integers(1, 9))
def test_windows_leave_room_for_the_last_target(tokens: int, length: int) -> None:
    held = side([[0] * (tokens - 1)]) if tokens else side([])
    fitting = [i for i in range(tokens) if i * length + length < tokens]
    assert len(Windows(held, length)) == len(fitting)


@given(st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), min_size=1, max_size=4))
def test_positions_begin_again_with_each_document(steps: list[list[int]]) -> None:
    documents_BT = np.cumsum(steps, axis=1)
    expected = [[t - row.index(number) for t, number in enumerate(row)] for row in documents_BT.tolist()]
    assert positions_within(documents_BT).tolist() == expected
