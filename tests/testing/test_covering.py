"""Pairwise covering arrays: every pair stands in a row, or cannot."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.testing.covering import covering

FACTORS = st.lists(st.integers(1, 4), min_size=2, max_size=5).map(
    lambda sizes: {chr(97 + at): list(range(size)) for at, size in enumerate(sizes)}
)


def pairs_of(row):
    return {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}


def all_pairs(factors):
    values = [[(factor, value) for value in values] for factor, values in factors.items()]
    return {
        frozenset(pair) for one, other in itertools.combinations(values, 2) for pair in itertools.product(one, other)
    }


@given(FACTORS)
def test_where_all_goes_together_every_pair_stands_in_a_row(factors):
    rows, impossible = covering(factors, lambda row: None)
    assert not impossible
    assert set().union(*map(pairs_of, rows)) == all_pairs(factors)
    assert all(row.keys() == factors.keys() for row in rows)


@settings(max_examples=200)
@given(FACTORS, st.data())
def test_with_forbidden_pairs_what_is_missing_is_told_and_no_row_has_one(factors, data):
    forbidden = data.draw(st.sets(st.sampled_from(sorted(all_pairs(factors), key=sorted)), max_size=4))

    def refused(row):
        broken = sorted(map(sorted, pairs_of(row) & forbidden))
        return f"{broken[0]} cannot be" if broken else None

    rows, impossible = covering(factors, refused)
    assert not any(refused(row) for row in rows)
    covered = set().union(*map(pairs_of, rows)) if rows else set()
    alone = {pair for pair in impossible if len(pair) == 1}
    for pair in all_pairs(factors):
        assert pair in covered or pair in impossible or any(one <= pair for one in alone)
        assert pair not in forbidden & covered
    assert all(impossible.values())


def test_only_pairs_that_are_impossible_are_told_so():
    factors = {"attention": ["plain", "table"], "position": ["none", "table"], "norm": ["one", "other"]}
    rows, impossible = covering(
        factors, lambda row: "they belong together" if "table" in (row["attention"], row["position"]) and
        row["attention"] != row["position"] and (row["attention"], row["position"]) != ("plain", "none") else None,
    )  # fmt: skip
    assert set(impossible) == {
        frozenset({("attention", "plain"), ("position", "table")}),
        frozenset({("attention", "table"), ("position", "none")}),
    }
    assert {"attention": "table", "position": "table"}.items() <= rows[-1].items() or any(
        row["attention"] == row["position"] == "table" for row in rows
    )


def test_what_fits_nothing_is_told_once():
    factors = {"a": [0, 1, 2], "b": [0, 1, 2], "c": [0, 1, 2]}
    _, impossible = covering(factors, lambda row: "2 is nothing" if row["a"] == 2 else None)
    assert impossible == {frozenset({("a", 2)}): "2 is nothing"}


def test_rows_are_few():
    """Ten factors of two values each: 1,024 rows have them all, and every pair stands in about ten."""
    rows, _ = covering({str(at): [False, True] for at in range(10)}, lambda row: None)
    assert len(rows) <= 14


def test_around_one_factor_no_others_are_paired():
    factors = {"mine": ["mine"], **{name: list(range(3)) for name in "abcd"}}
    rows, _ = covering(factors, lambda row: None, around=["mine"])
    assert len(rows) == 3
