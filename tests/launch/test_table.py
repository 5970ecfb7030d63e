"""The table of a sweep: which runs are shown where there is room for few, and how they are told apart."""

import doctest
import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness.config import to_mapping
from harness.launch import table
from harness.launch.table import STATES, Line, cut, told_apart
from harness.schema import BudgetConfig, DataConfig, RunConfig, ScaleConfig


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


def test_rungs_are_named_by_their_scale_and_not_by_what_follows_from_it():
    configs = [
        RunConfig(
            scale=ScaleConfig(width=width),
            data=DataConfig(batch_size=width),
            budget=BudgetConfig(tokens=1000 * width),
            seed=seed,
        )
        for width, seed in itertools.product([16, 32], [0, 1])
    ]
    assert told_apart([to_mapping(config) for config in configs]) == [
        "width=16 seed=0",
        "width=16 seed=1",
        "width=32 seed=0",
        "width=32 seed=1",
    ]


def test_a_part_is_named_by_its_place_and_words_that_two_keys_share_by_both_in_full():
    configs = [
        {"attention": {"name": name, "heads": heads}, "decoder": {"heads": others}}
        for name, heads, others in [("full", 1, 1), ("full", 2, 1), ("local", 2, 1), ("local", 2, 2)]
    ]
    assert told_apart(configs) == [
        "attention=full attention.heads=1 decoder.heads=1",
        "attention=full attention.heads=2 decoder.heads=1",
        "attention=local attention.heads=2 decoder.heads=1",
        "attention=local attention.heads=2 decoder.heads=2",
    ]


def test_what_is_equal_is_not_named():
    assert told_apart([to_mapping(RunConfig(seed=3))]) == [""]
    assert told_apart([to_mapping(RunConfig(runs="./a")), to_mapping(RunConfig(runs="./b"))]) == ["", ""]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)), max_size=6))
def test_what_differs_is_told_apart(configs):
    said = told_apart(configs)
    for (one, first), (other, second) in itertools.combinations(zip(configs, said, strict=True), 2):
        assert (one == other) == (first == second)


def test_the_examples_hold():
    assert doctest.testmod(table) == (0, 3)
