"""What runs differ in is told in few words."""

import doctest
import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness.config import to_mapping
from harness.results import varied
from harness.results.varied import told_apart
from harness.schema import BudgetConfig, DataConfig, RunConfig, ScaleConfig


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


def test_what_stands_beside_it_is_not_told_again():
    configs = [{"width": w, "position": {"name": p}} for w, p in [(16, "alibi"), (32, "alibi"), (32, "rotary")]]
    beside = [(config["width"],) for config in configs]
    assert told_apart(configs, beside) == ["position=alibi", "position=alibi", "position=rotary"]


def test_the_examples_hold():
    assert doctest.testmod(varied) == (0, 2)
