"""The table of a sweep: which runs are shown where there is room for few."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from harness.launch import table
from harness.launch.table import STATES, Line, cut


def lines(*states):
    return [Line(f"run{i}", state=state) for i, state in enumerate(states)]


def test_all_are_shown_where_there_is_room():
    assert cut(lines("done", "waiting"), 2) == (lines("done", "waiting"), "")


def test_where_there_is_not_those_at_work_and_failed_are_shown_first_and_in_their_order():
    shown, rest = cut(lines("done", "failed", "done", "waiting", "training", "waiting", "scoring"), 4)
    assert [line.id for line in shown] == ["run1", "run3", "run4", "run6"]
    assert rest == "and 3 more: 1 waiting, 2 done"


@given(st.lists(st.sampled_from(STATES)), st.integers(1, 12))
def test_every_run_is_shown_or_counted(states, room):
    shown, rest = cut(lines(*states), room)
    assert len(shown) == min(room, len(states))
    assert (rest == "") == (len(states) <= room)
    if rest:
        assert rest.startswith(f"and {len(states) - room} more: ")


def test_the_examples_hold():
    assert doctest.testmod(table) == (0, 2)
