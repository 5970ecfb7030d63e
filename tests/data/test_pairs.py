"""Preferences as the rows that a model reads."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.data.pairs import WIDTHS, answered
from harness.interfaces.batch import ANSWER, CONTEXT, PADDING, Sequences

C, W, L, P = CONTEXT, ANSWER, ANSWER + 1, PADDING


def preferences(rows: list[tuple[list[int], list[int], list[int]]]) -> Sequences:
    """As they come from the stream: prompt, better answer, worse answer, padding."""
    width = max(sum(map(len, row)) for row in rows)
    tokens_BS, parts_BS = np.zeros((len(rows), width), np.int64), np.full((len(rows), width), P, np.uint8)
    for number, row in enumerate(rows):
        tokens = [token for piece in row for token in piece]
        tokens_BS[number, : len(tokens)] = tokens
        parts_BS[number, : len(tokens)] = [part for part, of in zip((C, W, L), row, strict=True) for _ in of]
    return Sequences(tokens_BS, np.zeros_like(tokens_BS), np.arange(len(rows)), parts_BS)


def test_each_prompt_is_read_once_with_each_answer_the_better_ones_first():
    rows = answered(preferences([([1, 2], [3, 9], [4, 5, 9]), ([6], [7, 9], [8, 9])]), sequence_length=4, shift=1)
    assert rows.tokens_RS.tolist() == [[1, 2, 3, 9, 0], [6, 7, 9, 0, 0], [1, 2, 4, 5, 9], [6, 8, 9, 0, 0]]
    assert rows.is_answer_RS.astype(int).tolist() == [
        [0, 0, 1, 1, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 1, 1, 1],
        [0, 1, 1, 0, 0],
    ]
    assert rows.lengths_R.tolist() == [4, 3, 5, 3]


TOKENS = st.lists(st.integers(1, 99), min_size=1, max_size=20)


@given(
    rows=st.lists(st.tuples(TOKENS, TOKENS, TOKENS), min_size=1, max_size=4),
    spare=st.integers(0, 500),
    shift=st.integers(0, 1),
)
def test_nothing_is_lost_and_there_are_few_widths(
    rows: list[tuple[list[int], list[int], list[int]]], spare: int, shift: int
):
    longest = max(len(prompt) + max(len(better), len(worse)) for prompt, better, worse in rows)
    length = max(1, longest - shift + spare)
    found = answered(preferences(rows), length, shift)
    assert [found.tokens_RS[r, :n].tolist() for r, n in enumerate(found.lengths_R)] == [
        prompt + answers[which] for which in (0, 1) for prompt, *answers in rows
    ]
    width = found.tokens_RS.shape[1]
    assert longest <= width <= length + shift
    step = max(16, -(-length // WIDTHS))
    assert width == length + shift or (width - shift) % step == 0
