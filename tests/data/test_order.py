"""Order: permutations without tables, mixtures in closed form, a generator for each place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from harness.data.order import PERIOD, Mixture, Permutation, quantise, randomness

weights = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6)


@given(st.integers(1, 5000), st.text())
def test_a_permutation_is_a_bijection(n: int, key: str) -> None:
    assert sorted(Permutation(n, key)(np.arange(n)).tolist()) == list(range(n))


@given(st.integers(1, 2**40), st.data())
def test_any_part_of_it_can_be_asked_for(n: int, data) -> None:
    index = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20)))
    permutation = Permutation(n, "key")
    together, alone = permutation(index), [int(permutation(index[i : i + 1])[0]) for i in range(len(index))]
    assert together.tolist() == alone
    assert ((together >= 0) & (together < n)).all()


@pytest.mark.parametrize("n", [2, 5, 16, 17])
def test_every_index_goes_everywhere_equally_often_over_keys(n: int) -> None:
    """χ² over the n × n table of (from, to), (n − 1)² degrees of freedom, at one in a million."""
    keys = 2000
    seen = np.zeros((n, n))
    for key in range(keys):
        seen[np.arange(n), Permutation(n, str(key))(np.arange(n))] += 1
    statistic = ((seen - keys / n) ** 2 / (keys / n)).sum()
    assert statistic < chi2.ppf(1 - 1e-6, (n - 1) ** 2)


@pytest.mark.parametrize("n", [1000, 4096, 5000])
def test_no_trace_of_the_old_order_is_left(n: int) -> None:
    """Correlations of places with indices, and of neighbours, within five standard errors of none."""
    new = Permutation(n, "key")(np.arange(n)).astype(float)
    for pair in [(np.arange(n), new), (new[:-1], new[1:]), (new[:-2], new[2:])]:
        assert abs(np.corrcoef(*pair)[0, 1]) < 5 / np.sqrt(n)
    assert (np.diff(new) == 1).sum() < 10  # expected: 1


def test_keys_give_unrelated_permutations() -> None:
    first, second = (Permutation(4096, key)(np.arange(4096)).astype(float) for key in ("a/0", "a/1"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 64


@given(weights, st.integers(0, 10**6))
def test_a_mixture_in_closed_form_is_what_counting_gives(weights: list[float], start: int) -> None:
    mixture = Mixture(weights)
    source, ordinal = mixture(np.arange(start, start + 200))
    before = mixture.counts_before(start)
    assert before.sum() == start
    for s, o in zip(source.tolist(), ordinal.tolist(), strict=True):
        assert o == before[s]
        before[s] += 1
    assert before.tolist() == mixture.counts_before(start + 200).tolist()


@given(weights, st.integers(0, 10**6))
def test_the_place_of_an_ordinal_is_where_it_is_drawn(weights: list[float], ordinal: int) -> None:
    mixture = Mixture(weights)
    for source in range(len(weights)):
        found = mixture(np.array([mixture.place_of(source, ordinal)]))
        assert (int(found[0][0]), int(found[1][0])) == (source, ordinal)


@given(weights)
def test_a_mixture_is_evenly_spread(weights: list[float]) -> None:
    """Up to any place each source has had its share, give or take one place and half of one for each source."""
    mixture = Mixture(weights)
    shares = mixture.counts_S / mixture.period
    for place in range(0, 2 * mixture.period, 7):
        assert np.abs(mixture.counts_before(place) - place * shares).max() <= 1 + len(weights) / 2


@given(weights)
def test_weights_are_kept_to_a_thousandth(weights: list[float]) -> None:
    counts = quantise(weights)
    assert counts.min() >= 1
    assert counts.sum() <= PERIOD
    assert np.abs(counts / counts.sum() - np.array(weights) / sum(weights)).max() <= 1 / PERIOD


@pytest.mark.parametrize(
    ("weights", "counts"),
    [([1.0], [1]), ([0.9, 0.1], [9, 1]), ([1, 1, 1], [1, 1, 1]), ([2.0, 1.0], [2, 1]), ([0.5, 0.3, 0.2], [5, 3, 2])],
)
def test_simple_proportions_are_exact_and_short(weights: list[float], counts: list[int]) -> None:
    assert quantise(weights).tolist() == counts


def test_randomness_depends_on_seed_and_place_alone() -> None:
    draws = {(seed, place): randomness(seed)(place).random(3).tolist() for seed in range(3) for place in range(50)}
    assert len({tuple(draw) for draw in draws.values()}) == len(draws)
    assert randomness(2)(49).random(3).tolist() == draws[2, 49]
    assert randomness(-1)(2**62).random() != randomness(1)(2**62).random()


def test_neighbouring_places_are_independent() -> None:
    first = np.array([randomness(0)(place).random() for place in range(4000)])
    assert abs(first.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 4000)
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 5 / np.sqrt(4000)
